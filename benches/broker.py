"""make bench BENCH=broker: skynet-broker beside RabbitMQ, in turns, with messages of 2 KiB.

Raw AMQP with frames made beforehand, the publisher and the consumer each a process: what comes has a fixed length, so
it is counted by its bytes, and the load is never what is measured. Figures are medians of the turns.
"""

import multiprocessing
import os
import signal
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "amqp"))
import load
import node

ROUNDS = int(os.environ.get("ROUNDS", "3"))
COUNT = int(os.environ.get("COUNT", "30000"))
MILLION = int(os.environ.get("MILLION", "1000000"))
SIZE = int(os.environ.get("SIZE", "2048"))
WINDOW = 1000  # unconfirmed at a time
PREFETCH = 500


def publish(queue, size, persistent):
    header = struct.pack(">HHQHB", 60, 0, size, 0x1000, 2 if persistent else 1)
    method = load.method(1, 60, 40, b"\0\0" + load.short("") + load.short(queue) + b"\0")
    return method + load.frame(2, 1, header) + load.frame(3, 1, b"x" * size)


def read(connection, length):
    """Exactly that many bytes."""
    have = connection.rest
    parts, missing = [have[:length]], length - len(have)
    connection.rest = have[length:]
    while missing > 0:
        data = connection.socket.recv(min(missing, 1 << 20))
        if not data:
            raise ConnectionError("the broker has hung up")
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def flood(url, queue, count, size, confirmed):
    """Publishes; with `confirmed`, persistent, and returns when all are confirmed. Its time in seconds."""
    connection = load.Connection(url)
    one = publish(queue, size, confirmed)
    begun = time.perf_counter()
    if not confirmed:
        for start in range(0, count, 100):
            connection.socket.sendall(one * min(100, count - start))
        connection.call(50, 10, b"\0\0" + load.short(queue) + b"\x01" + load.table({}), 11)
        return time.perf_counter() - begun
    connection.call(85, 10, b"\0", 11)
    sent = done = 0
    while done < count:
        more = min(count - sent, WINDOW - (sent - done))
        if more:
            connection.socket.sendall(one * more)
            sent += more
        connection.rest += connection.socket.recv(1 << 16)
        whole = len(connection.rest) // 21 * 21
        singles = 0
        for at in range(0, whole, 21):
            if connection.rest[at + 7:at + 11] != b"\0\x3c\0\x50":
                raise ConnectionError("not confirmed: %r" % connection.rest[at:at + 21])
            tag, multiple = struct.unpack_from(">QB", connection.rest, at + 11)
            # Confirms may come out of order; what counts is that a single one is one, and a multiple one all before.
            done, singles = (tag, 0) if multiple else (done, singles + 1)
        done += singles
        connection.rest = connection.rest[whole:]
    return time.perf_counter() - begun


def drain(url, queue, count, size, acknowledge, ready=None):
    """Consumes that many; seconds from the first."""
    connection = load.Connection(url)
    if acknowledge:
        connection.call(60, 10, struct.pack(">IHB", 0, PREFETCH, 0), 11)
    consume = b"\0\0" + load.short(queue) + load.short("c") + (b"\0" if acknowledge else b"\x02") + load.table({})
    connection.call(60, 20, consume, 21)
    if ready:
        ready.set()
    deliver = len(load.frame(1, 1, b"\0" * 4 + load.short("c") + b"\0" * 9 + load.short("") + load.short(queue)))
    header = len(load.frame(2, 1, b"\0" * 15))
    length = deliver + header + size + 8
    begun, taken = None, 0
    while taken < count:
        some = min(count - taken, 100)
        last = read(connection, length * some)
        begun = begun or time.perf_counter()
        taken += some
        if acknowledge:
            at = len(last) - length + 11 + len(load.short("c"))
            tag = struct.unpack_from(">Q", last, at)[0]
            connection.socket.sendall(load.method(1, 60, 80, struct.pack(">QB", tag, 1)))
    connection.call(50, 10, b"\0\0" + load.short(queue) + b"\x01" + load.table({}), 11)
    return time.perf_counter() - begun


def through(url, queue, confirmed):
    """Messages per second, from the first published to the last taken."""
    ready = multiprocessing.Event()
    maker = load.Connection(url)
    maker.declare(queue)
    maker.purge(queue)
    taker = multiprocessing.Process(target=drain, args=(url, queue, COUNT, SIZE, confirmed, ready))
    taker.start()
    ready.wait()
    begun = time.perf_counter()
    flood(url, queue, COUNT, SIZE, confirmed)
    taker.join()
    if taker.exitcode:
        sys.exit("bench: the consumer failed")
    return COUNT / (time.perf_counter() - begun)


def ping(url, queue, confirmed):
    """Milliseconds from a message to its delivery (transient) or to its confirm, the middle of a thousand."""
    connection = load.Connection(url)
    connection.declare(queue)
    connection.purge(queue)
    one = publish(queue, SIZE, confirmed)
    if confirmed:
        connection.call(85, 10, b"\0", 11)
        length = 21
    else:
        connection.call(60, 20, b"\0\0" + load.short(queue) + load.short("c") + b"\x02" + load.table({}), 21)
        names = load.short("c") + load.short("") + load.short(queue)
        length = 8 + 4 + 9 + len(names) + 8 + 15 + SIZE + 8
    times = []
    for _ in range(1000):
        begun = time.perf_counter()
        connection.socket.sendall(one)
        read(connection, length)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


ROWS = [("through it, transient, msg/s", through, False), ("through it, persistent, confirmed, acknowledged, msg/s", through, True),
        ("to its delivery, transient, p50 ms", ping, False), ("to its confirm, persistent, p50 ms", ping, True)]


def million(broker):
    """A million messages wait: memory, the time of a restart, and then they are taken."""
    connection = load.Connection(broker.url)
    connection.declare("bench-million")
    seconds = flood(broker.url, "bench-million", MILLION, 100, True)
    print("\n%d persistent messages of 100 bytes queued: %.0f/s, confirmed; %.0f MiB" % (MILLION, MILLION / seconds,
                                                                                sum(map(load.rss, broker.pids()))))
    if isinstance(broker, node.Ours):
        broker.stop(signal.SIGKILL)
        print("after kill -9 it serves within %.2f s" % broker.start(), end="; ")
    print("taken: %.0f/s; %.0f MiB" % (MILLION / drain(broker.url, "bench-million", MILLION, 100, True),
                                       sum(map(load.rss, broker.pids()))))


def main():
    with tempfile.TemporaryDirectory(prefix="bench-broker-", dir="/var/tmp") as folder:
        brokers = [node.Rabbit(), node.Ours(Path(folder) / "broker")]
        try:
            figures = {(row[0], broker.name): [] for row in ROWS for broker in brokers}
            for _ in range(ROUNDS):
                for row, measure, confirmed in ROWS:
                    for broker in brokers:
                        figures[row, broker.name].append(measure(broker.url, "bench-%d" % confirmed, confirmed))
            print("%-55s %12s %14s %7s" % ("", *(broker.name for broker in brokers), "ratio"))
            for row, _, _ in ROWS:
                theirs, ours = (statistics.median(figures[row, broker.name]) for broker in brokers)
                print("%-55s %12.2f %14.2f %7.2f" % (row, theirs, ours, ours / theirs))
            print("(goals: transient 1 and 0.25 ms, persistent 0.5)")
            if MILLION:
                million(brokers[1])
        finally:
            for broker in brokers:
                broker.stop()


if __name__ == "__main__":
    main()
