"""The brokers that the benches run on: RabbitMQ as the tests run it, and skynet-broker, each with nobody else on it."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import load

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = ROOT / "target/skynet/bin"


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Rabbit(object):
    """It stops when nobody holds the lock any more."""

    name = "RabbitMQ"

    def __init__(self):
        place = ROOT / "target/tests"
        self.lock = open(place / "rabbitmq.lock", "a")
        url = place / "rabbitmq.url"
        if url.exists():
            sys.exit("bench: the tests' RabbitMQ is running: try again when they are done")
        fcntl.flock(self.lock, fcntl.LOCK_SH)
        self.process = subprocess.Popen([str(ROOT / "tests/rabbitmq"), *map(str, free_ports(4))],
                                        stdout=subprocess.DEVNULL, start_new_session=True)
        while not url.exists():
            if self.process.poll() is not None:
                sys.exit("bench: RabbitMQ does not start")
            time.sleep(0.1)
        self.url = url.read_text().split()[0] + "/%2f"

    def pids(self):
        """The Erlang machine's: the child of the script that is called beam.smp."""
        found = subprocess.run(["pgrep", "-s", str(self.process.pid), "beam.smp"], stdout=subprocess.PIPE, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def stop(self):
        self.lock.close()
        self.process.wait(60)


class Ours(object):
    """A skynet-broker with its data in a folder."""

    name = "skynet-broker"

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700)
        port = free_ports(1)[0]
        settings = self.folder / "broker.toml"
        settings.touch(mode=0o600)
        settings.write_text('listen = "127.0.0.1:%d"\nuser = "bench"\npassword = "bench"\nvhosts = ["/"]\n' % port)
        self.url = "amqp://bench:bench@127.0.0.1:%d/%%2f" % port
        self.start()

    def start(self):
        """Starts it; returns the seconds until it serves."""
        begun = time.perf_counter()
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([str(BIN / "skynet-broker"), str(self.folder)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        while True:
            try:
                load.Connection(self.url).socket.close()
                return time.perf_counter() - begun
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("bench: skynet-broker does not start: " + (self.folder / "log").read_text())
                time.sleep(0.005)

    def pids(self):
        return [self.process.pid]

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(120)
