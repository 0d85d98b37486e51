"""Celery, as it comes from PyPI: a worker in a process of its own, tasks, retries, results, remote control."""

import os
import subprocess
import sys
import time

os.environ["BROKER_URL"] = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

from celery import group
from celery.result import allow_join_result
from celery_app import add, app, boom, flaky


def main():
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "solo", "-l", "WARNING", "-n", "w@test"],
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    try:
        with allow_join_result():
            assert add.delay(2, 3).get(timeout=300) == 5
            sums = group(add.s(n, n) for n in range(30))().get(timeout=300)
            assert sums == [2 * n for n in range(30)], sums
            assert flaky.delay().get(timeout=300) == 2
            try:
                boom.delay().get(timeout=300)
                raise AssertionError("no exception")
            except ValueError as error:
                assert str(error) == "boom"
            assert add.apply_async((1, 1), countdown=0.5).get(timeout=300) == 2
        end = time.monotonic() + 300
        while time.monotonic() < end:
            answers = app.control.ping(timeout=2)
            if answers:
                break
        assert answers == [{"w@test": {"ok": "pong"}}], answers
        # Asked by its name, it is not waited for after its answer.
        assert "celery_app.add" in app.control.inspect(["w@test"], timeout=60).registered()["w@test"]
    finally:
        worker.terminate()
        worker.wait(300)
    print("fine")


main()
