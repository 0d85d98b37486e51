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
# So many workitems are worked on at once where that is not one.
MANY = 50
# Work of so many seconds: of less than 10 ms, after which a process (wfid) has a control queue of its own, and of more.
SHORT, LONG = 0.005, 0.02
HANDLER = """import time
class ParticipantHandler(object):
    def handle_wi_control(self, ctrl): pass
    def handle_lifecycle_control(self, ctrl): pass
    def handle_wi(self, wid):
        %s
        wid.result = True
"""


class Worker(object):
    """A worker under measurement: how it is called, its queue, protocol, command and environment."""

    def __init__(self, name, queue, protocol, command, environment=(), folder=None, work=0):
        self.name, self.queue, self.protocol, self.work = name, queue, protocol, work
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
        count = COUNT // 10 if self.work else COUNT
        self.flood.append(load.run(url, self.queue, self.protocol, count, 0, self.pids()))
        self.ping.append(load.run(url, self.queue, self.protocol, count // 4, 1, self.pids()))

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


def exo(folder, url, name, settings, work=0):
    place = Path(folder) / name
    (place / "state").mkdir(parents=True)
    (place / (name + ".py")).write_text(HANDLER % ("time.sleep(%g)" % work if work else "pass"))
    user = 'user = "root"\n' if os.geteuid() == 0 else ""
    (place / "config.exo").write_text('%s%s\nstate = "%s/state"\npython = "/usr/bin/python3"\n[amqp]\nurl = "%s"\n'
                                      % (user, settings, place, url))
    home = {"SKYNET_HOME": str(folder)}
    what = "%g ms of work" % (work * 1000) if work else settings.replace(" = ", " ")
    return Worker("exo, " + what, name, "workitem", [node.BIN / "exo"], home, place, work)


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
                Worker("bare lapin, pipelined", "bench-lapins", "workitem", [LAPIN, rabbit.url, "bench-lapins", MANY]),
                exo(folder, rabbit.url, "bench-exo", "concurrency = 1"),
                exo(folder, rabbit.url, "bench-exos", "prefetch = %d" % MANY),
                exo(folder, rabbit.url, "bench-exo8", "concurrency = 8"),
                exo(folder, rabbit.url, "bench-short", "concurrency = 1", SHORT),
                exo(folder, rabbit.url, "bench-long", "concurrency = 1", LONG),
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
    ours, many, eight = lines["bench-exo"], lines["bench-exos"], lines["bench-exo8"]
    celery, lapin, pipelined = lines["bench-celery"], lines["bench-lapin"], lines["bench-lapins"]
    print()
    goal("flood at prefetch 1, of Celery", ours[1] / celery[1], "at least", 2)
    goal("flood at prefetch 1, of bare lapin", ours[1] / lapin[1], "at least", 0.8)
    for name, line in ("prefetch %d" % MANY, many), ("concurrency 8", eight):
        goal("flood at %s, of Celery" % name, line[1] / celery[1], "at least", 4)
        goal("flood at %s, of bare lapin pipelined" % name, line[1] / pipelined[1], "at least", 0.6)
    # The goals in milliseconds and microseconds are of the machine on which bare lapin took these.
    goal("p50, of bare lapin", ours[2] / lapin[2], "at most", 0.45 / 0.33)
    goal("p99, of bare lapin", ours[3] / lapin[3], "at most", 1.2 / 0.75)
    goal("CPU for a workitem, of bare lapin", ours[5] / lapin[5], "at most", 220 / 168)
    goal("memory, MiB", ours[4], "at most", 22)
    goal("ready, ms", ours[6], "at most", 150)
    short, long = (lines[name] for name in ("bench-short", "bench-long"))
    beside = [1000 / line[1] - work * 1000 for line, work in ((short, SHORT), (long, LONG))]
    print("a control queue (work of %g ms, not %g): %.2f ms and %.0f us of CPU for a workitem"
          % (LONG * 1000, SHORT * 1000, beside[1] - beside[0], long[5] - short[5]))
    print("load average: " + Path("/proc/loadavg").read_text().rpartition(" ")[0])


def goal(what, is_, how, wanted):
    missed = is_ < wanted if how == "at least" else is_ > wanted
    print("%-50s %7.2f  goal: %s %.2f%s" % (what, is_, how, wanted, "  missed" if missed else ""))


if __name__ == "__main__":
    main()
