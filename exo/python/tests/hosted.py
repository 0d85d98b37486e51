"""A handler in a process of its own, as exo hosts it: for the tests beside."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BODY = {"fields": {"n": 1, "params": {}}, "fei": {"expid": "0", "wfid": "w1", "subid": "s"}}

DRIVER = """
import json, sys
from SkyNET import _errors, _host
out = sys.__stdout__
settings = json.loads(sys.argv[1])
try:
    host = _host.load(json.dumps(settings))
except _errors.Fatal as e:
    print("FATAL", e.message, file=out)
    sys.exit(111)
published = []
host.set_publisher(published.append)
host.set_progress(lambda *said: print("PROGRESS", *said, file=out))
exec(sys.argv[3])
kind, reply, error = host.handle(1, sys.argv[2].encode(), True, 2)
if "asker" in globals():  # says its part before ours, not in the midst of it
    asker.join()
host.lifecycle("stop")
print("RESULT", json.dumps([kind, reply and json.loads(reply), error]), file=out)
print("PUBLISHED", json.dumps([json.loads(body) for body in published]), file=out)
"""


class Hosted(unittest.TestCase):
    def run_handler(self, source, body=BODY, beside="", files=(), **settings):
        with tempfile.TemporaryDirectory() as folder:
            code = os.path.join(folder, "sizer.py")
            with open(code, "w") as f:
                f.write(textwrap.dedent(source))
            for name, text in dict(files).items():
                with open(os.path.join(folder, name), "w") as f:
                    f.write(textwrap.dedent(text))
            values = {"name": "sizer", "queue": "sizer", "regexp": "sizer", "code": code, "error_class": "RuntimeError",
                      "amqp": ["amqp://u:p%40w@h:1/v"],
                      "layers": [{"file": "config.exo", "toml": {"mine": {"rate": "5%", "n": 3, "on": True, "list": ["é"]}}}]}
            values.update(settings)
            done = subprocess.run(
                [sys.executable, "-c", DRIVER, json.dumps(values),
                 body if isinstance(body, str) else json.dumps(body), textwrap.dedent(beside)], stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env={"PYTHONPATH": PACKAGES, "PATH": "/usr/bin:/bin"}, text=True, timeout=300)
            return done.stdout.replace(code, "sizer.py")

    def result(self, source, **settings):
        out = self.run_handler(source, **settings)
        # A handler may have left half a line before it.
        lines = [line[line.index("RESULT "):] for line in out.splitlines() if "RESULT " in line]
        self.assertEqual(len(lines), 1, out)
        return json.loads(lines[0][7:]), out
