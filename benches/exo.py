"""make bench BENCH=exo: exo beside Celery, dramatiq, pika and bare lapin, with a RabbitMQ of its own.

Every worker runs all the time; they are measured in turns, so that whatever else the machine does meets all of them.
Figures are medians of the turns; what counts is the ratio within one run.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "amqp"))
import load
import node

PEERS = node.ROOT / "benches/amqp/peers.py"
LAPIN = node.ROOT / "target/release/examples/bare_lapin"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
COUNT = int(os.environ.get("COUNT", "2000"))
HANDLER = """class ParticipantHandler(object):
    def handle_wi_control(self, ctrl): pass
    def handle_lifecycle_control(self, ctrl): pass
    def handle_wi(self, wid): wid.result = True
"""


class Worker(object):
    """A worker under measurement: how it is called, its queue, protocol, command and environment."""

    def __init__(self, name, queue, protocol, command, environment=(), folder=None):
        self.name, self.queue, self.protocol = name, queue, protocol
        self.command, self.environment, self.folder = [str(word) for word in command], dict(environment), folder
        self.flood, self.ping = [], []

    def start(self, url, folder):
        log = open(Path(folder) / (self.queue + ".log"), "w")
        # Workers are killed in the end: what they leave lies in the folder.
        environment = dict(os.environ, BENCH_URL=url, PYTHONPATH=str(PEERS.parent), TMPDIR=str(folder), **self.environment)
        begun = time.perf_counter()
        self.process = subprocess.Popen(self.command, env=environment, cwd=self.folder or folder, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True)
        load.wait_for_consumer(url, self.queue)
        self.ready_ms = (time.perf_counter() - begun) * 1000

    def pids(self):
        """Of the whole session."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(entry)) == self.process.pid:
                    found.append(int(entry))
            except OSError:
                pass
        return found

    def measure(self, url):
        self.flood.append(load.run(url, self.queue, self.protocol, COUNT, 0, self.pids()))
        self.ping.append(load.run(url, self.queue, self.protocol, COUNT // 4, 1, self.pids()))

    def stop(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def line(self):
        def median(runs, key):
            return statistics.median(run[key] for run in runs)

        def percentile(part):
            return statistics.median(run["ms"][int(len(run["ms"]) * part)] for run in self.ping)
        return [self.name, median(self.flood, "rate"), percentile(0.5), percentile(0.99), median(self.flood, "mib"),
                median(self.flood, "cpu_us"), self.ready_ms]


def exo(folder, url, name, concurrency):
    place = Path(folder) / name
    (place / "state").mkdir(parents=True)
    (place / (name + ".py")).write_text(HANDLER)
    user = 'user = "root"\n' if os.geteuid() == 0 else ""
    (place / "config.exo").write_text('%sconcurrency = %d\nstate = "%s/state"\npython = "/usr/bin/python3"\n[amqp]\nurl = "%s"\n'
                                      % (user, concurrency, place, url))
    home = {"SKYNET_HOME": str(folder)}
    return Worker("exo, concurrency %d" % concurrency, name, "workitem", [node.BIN / "exo"], home, place)


def main():
    venv = Path(sys.executable).parent
    rabbit = node.Rabbit()
    workers = []
    with tempfile.TemporaryDirectory(prefix="bench-exo-") as folder:
        try:
            celery = [venv / "celery", "-A", "peers", "worker", "-c", "1", "-P", "prefork", "--without-gossip",
                      "--without-mingle", "--without-heartbeat", "-l", "error"]
            workers += [
                Worker("Celery, prefork 1", "bench-celery", "celery", celery, {"BENCH_PEER": "celery"}),
                Worker("dramatiq, 1 thread", "bench-dramatiq", "dramatiq",
                       [venv / "dramatiq", "peers", "--processes", "1", "--threads", "1"], {"BENCH_PEER": "dramatiq"}),
                Worker("pika, confirms", "bench-pika", "workitem", [sys.executable, PEERS, "bench-pika", "1"]),
                Worker("bare lapin", "bench-lapin", "workitem", [LAPIN, rabbit.url, "bench-lapin", "1"]),
                exo(folder, rabbit.url, "bench-exo", 1),
                exo(folder, rabbit.url, "bench-exo8", 8),
            ]
            for worker in workers:
                worker.start(rabbit.url, folder)
            for _ in range(ROUNDS):
                for worker in workers:
                    worker.measure(rabbit.url)
            show(workers)
        finally:
            for worker in workers:
                if hasattr(worker, "process"):
                    worker.stop()
            rabbit.stop()


def show(workers):
    print("%-22s %9s %9s %9s %9s %9s %9s" % ("worker", "flood/s", "p50 ms", "p99 ms", "RSS MiB", "CPU us", "ready ms"))
    lines = {worker.queue: worker.line() for worker in workers}
    for line in lines.values():
        print("%-22s %9.0f %9.2f %9.2f %9.1f %9.0f %9.0f" % tuple(line))
    ours, eight = lines["bench-exo"], lines["bench-exo8"]
    celery, lapin = lines["bench-celery"], lines["bench-lapin"]
    print("\nflood at prefetch 1: %.2f of Celery (goal 2), %.2f of bare lapin (goal 0.8)" % (ours[1] / celery[1], ours[1] / lapin[1]))
    print("flood at concurrency 8: %.2f of Celery (goal 4), %.2f of exo at concurrency 1" % (eight[1] / celery[1], eight[1] / ours[1]))
    print("p50 %.2f of bare lapin, CPU %.2f of bare lapin (goals on a quiet machine: 0.45 ms, 220 us, 22 MiB, ready in 150 ms)"
          % (ours[2] / lapin[2], ours[5] / lapin[5]))


if __name__ == "__main__":
    main()
