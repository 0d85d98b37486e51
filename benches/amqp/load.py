"""Load for workers: publishes workitems, waits for their replies, measures. Raw AMQP 0-9-1 with frames made beforehand,
so that it moves more than a broker routes and is never what is measured."""

import json
import os
import re
import select
import socket
import struct
import time
import uuid
from urllib.parse import unquote, urlsplit

REPLIES = "ruote_workitems"
SIZE = 2048


def short(text):
    return bytes([len(text)]) + text.encode()


def long(data):
    return struct.pack(">I", len(data)) + data


def table(entries):
    def value(v):
        return b"t" + bytes([v]) if isinstance(v, bool) else b"S" + long(v.encode())
    return long(b"".join(short(k) + value(v) for k, v in entries.items()))


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, cls, number, arguments=b""):
    return frame(1, channel, struct.pack(">HH", cls, number) + arguments)


class Connection(object):
    """One connection with one channel."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 5672), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        secret = "\0%s\0%s" % (unquote(parts.username), unquote(parts.password))
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.expect(10, 10)
        self.socket.sendall(method(0, 10, 11, table({}) + short("PLAIN") + long(secret.encode()) + short("en_US")))
        channels, frame_max, _ = struct.unpack(">HIH", self.expect(10, 30)[:8])
        self.socket.sendall(method(0, 10, 31, struct.pack(">HIH", channels, frame_max, 0)))
        self.socket.sendall(method(0, 10, 40, short(unquote(parts.path[1:]) or "/") + b"\0\0"))
        self.expect(10, 41)
        self.call(20, 10, short(""), 11)

    def call(self, cls, number, arguments, answer):
        self.socket.sendall(method(1, cls, number, arguments))
        return self.expect(cls, answer)

    def expect(self, cls, number):
        while True:
            for kind, payload in self.frames(self.socket.recv(65536) if not self.whole() else b""):
                here = struct.unpack_from(">HH", payload) if kind == 1 else None
                if here in ((10, 50), (20, 40)):
                    raise ConnectionError(payload[7:].decode("utf-8", "replace"))
                if here == (cls, number):
                    return payload[4:]

    def whole(self):
        return len(self.rest) >= 7 and len(self.rest) >= int.from_bytes(self.rest[3:7], "big") + 8

    def frames(self, data):
        """The whole frames there are; one at a time, so that the rest is kept."""
        self.rest += data
        at, have = 0, self.rest
        while len(have) - at >= 8:
            length = int.from_bytes(have[at + 3:at + 7], "big")
            if len(have) - at < length + 8:
                break
            kind, payload = have[at], have[at + 7:at + 7 + length]
            at += length + 8
            self.rest = have[at:]
            yield kind, payload

    def declare(self, queue, passive=False):
        """How many consumers a durable queue has; passive: of whatever kind its maker made it."""
        answer = self.call(50, 10, b"\0\0" + short(queue) + (b"\x03" if passive else b"\x02") + table({}), 11)
        return struct.unpack_from(">I", answer, len(answer) - 4)[0]

    def purge(self, queue):
        self.call(50, 30, b"\0\0" + short(queue) + b"\0", 31)


def workitem(run, number):
    """A workitem as ruote writes it, of SIZE bytes."""
    item = {
        "fields": {"params": {"task": "x", "n": 3}, "nested": {"list": [1, 2.5, None, True, "é☃"]}, "pad": ""},
        "wf_name": "bench", "wf_revision": None, "sub_wf_name": "bench",
        "fei": {"engine_id": "engine", "wfid": "%s-%09d" % (run, number), "subid": "e2600b80fb1d609daec4df098610e5f6",
                "expid": "0_0_0"},
        "participant_name": "bench", "re_dispatch_count": 0}
    missing = SIZE - len(json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode())
    item["fields"]["pad"] = "x" * missing
    return item


def message(protocol, queue, run, number):
    """Content type and other properties, and the body, in the form that the worker's protocol wants."""
    item = workitem(run, number)
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    if protocol == "celery":
        task = "%s-0000-0000-0000-%012d" % (run, number)
        headers = table({"lang": "py", "task": "echo", "id": task, "root_id": task, "argsrepr": "", "kwargsrepr": "{}",
                         "origin": "bench", "ignore_result": False})
        body = json.dumps([[item], {}, {}], **compact)
        properties = short("application/json") + short("utf-8") + headers + b"\x02" + short(task) + short(REPLIES)
        return 0xF600, properties, body.encode()
    if protocol == "dramatiq":
        item = {"queue_name": queue, "actor_name": "echo", "args": [item], "kwargs": {}, "options": {},
                "message_id": "%s-%012d" % (run, number), "message_timestamp": int(time.time() * 1000)}
    return 0x9000, short("application/octet-stream") + b"\x02", json.dumps(item, **compact).encode()


def publish(protocol, queue, run, number):
    flags, properties, body = message(protocol, queue, run, number)
    header = struct.pack(">HHQH", 60, 0, len(body), flags) + properties
    return method(1, 60, 40, b"\0\0" + short("") + short(queue) + b"\0") + frame(2, 1, header) + frame(3, 1, body)


def cpu(pid):
    """Seconds of processor time that a process has used."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid):
    """Resident memory of a process in MiB."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1)) / 1024


def wait_for_consumer(url, queue, patience=60):
    """Seconds until somebody consumes from the queue."""
    start, connection = time.perf_counter(), None
    while time.perf_counter() - start < patience:
        try:
            connection = connection or Connection(url)
            if connection.declare(queue, passive=True):
                return time.perf_counter() - start
        except ConnectionError:  # there is no such queue yet, which costs the channel
            connection = None
        time.sleep(0.005)
    raise TimeoutError("nobody consumes from %s" % queue)


def run(url, queue, protocol, count, outstanding, pids=(), patience=60):
    """Sends `count` workitems, at most `outstanding` at a time (0: no limit): workitems per second, latencies in ms
    (sorted), MiB and processor microseconds per workitem of the processes."""
    name = uuid.uuid4().hex[:8]
    out, back = Connection(url), Connection(url)
    back.declare(REPLIES)
    back.purge(REPLIES)
    back.call(60, 20, b"\0\0" + short(REPLIES) + short("bench") + b"\x02" + table({}), 21)
    ready = [publish(protocol, queue, name, number) for number in range(count)]
    wanted = re.compile(('"wfid": ?"%s-' % name).encode() + rb"(\d{9})")
    out.socket.setblocking(False)
    sent_at, latency, pending, sent = [0.0] * count, {}, bytearray(), 0
    before, start = sum(map(cpu, pids)), time.perf_counter()
    last = start
    while len(latency) < count:
        now = time.perf_counter()
        if now - last > patience:
            raise TimeoutError("%d of %d replies from %s" % (len(latency), count, queue))
        limit = min(count, len(latency) + outstanding) if outstanding else count
        while sent < limit and len(pending) < 262144:
            pending += ready[sent]
            sent_at[sent] = now
            sent += 1
        readable, writable, _ = select.select([back.socket], [out.socket] if pending else [], [], 0.2)
        if writable:
            del pending[:out.socket.send(memoryview(pending)[:131072])]
        if readable:
            data, now = back.socket.recv(1 << 20), time.perf_counter()
            for kind, payload in back.frames(data):
                found = wanted.search(payload) if kind == 3 else None
                if found and int(found.group(1)) not in latency:
                    latency[int(found.group(1))] = (now - sent_at[int(found.group(1))]) * 1000
                    last = now
    seconds = last - start
    used = (sum(map(cpu, pids)) - before) / count * 1e6
    return {"rate": count / seconds, "ms": sorted(latency.values()), "mib": sum(map(rss, pids)), "cpu_us": used}
