"""How a handler is loaded, and what becomes of what it does."""

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
from SkyNET import _host
out = sys.__stdout__
settings = json.loads(sys.argv[1])
try:
    host = _host.load(json.dumps(settings))
except _host.Fatal as e:
    print("FATAL", e.message, file=out)
    sys.exit(111)
kind, reply, error = host.handle(sys.argv[2].encode(), False, 1)
print("RESULT", json.dumps([kind, reply and json.loads(reply), error]), file=out)
"""


class TestHost(unittest.TestCase):
    def run_handler(self, source, body=BODY, **settings):
        with tempfile.TemporaryDirectory() as folder:
            code = os.path.join(folder, "sizer.py")
            if source is not None:
                with open(code, "w") as f:
                    f.write(textwrap.dedent(source))
            values = {"name": "sizer", "queue": "sizer", "regexp": "sizer", "code": code, "error_class": "RuntimeError",
                      "amqp": ["amqp://u:p%40w@h:1/v"], "sections": {"mine": {"rate": "5%", "n": 3}}}
            values.update(settings)
            done = subprocess.run(
                [sys.executable, "-c", DRIVER, json.dumps(values), json.dumps(body)], stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env={"PYTHONPATH": PACKAGES, "PATH": "/usr/bin:/bin"}, text=True, timeout=60)
            return done.stdout.replace(code, "sizer.py")

    def result(self, source, **settings):
        out = self.run_handler(source, **settings)
        lines = [line for line in out.splitlines() if line.startswith("RESULT ")]
        self.assertEqual(len(lines), 1, out)
        return json.loads(lines[0][7:]), out

    def test_a_workitem_is_changed_and_returned(self):
        (kind, reply, _), out = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("at work")
                    wid.fields.n += 1
            """)
        self.assertEqual((kind, reply["fields"]["n"]), ("reply", 2))
        self.assertIn("sizer w1: at work", out)

    def test_an_exception_becomes_an_error_with_the_workitem_as_it_was_left(self):
        (kind, reply, error), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.n = 9
                    raise ValueError("boom")
            """)
        self.assertEqual((kind, reply["fields"]["n"]), ("error", 9))
        self.assertEqual((error["class"], error["message"]), ("RuntimeError", "ValueError: boom"))
        self.assertEqual(error["trace"], ["sizer.py:5: in `handle_wi'"])

    def test_messages_of_os_errors_and_exits(self):
        for raised, message in [
                ('OSError(2, "No such file", "/x")', "FileNotFoundError(2): /x No such file"),
                ('OSError(5, "I/O")', "OSError(5): I/O"),
                ('OSError("odd")', "OSError: odd"),
                ("SystemExit(3)", "SystemExit: 3")]:
            (_, _, error), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        raise %s
                """ % raised)
            self.assertEqual(error["message"], message)

    def test_a_result_that_is_not_json_is_named_by_its_path(self):
        (kind, reply, error), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.deep = {"x": [1, {2}]}
            """)
        self.assertEqual((kind, reply), ("error", None))
        self.assertIn("fields.deep.x[1] is not JSON", error["message"])

    def test_forget_is_read_after_handle_wi(self):
        (kind, _, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.params.forget = 1
            """)
        self.assertEqual(kind, "forget")

    def test_start_brings_a_real_configparser(self):
        (_, reply, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_lifecycle_control(self, ctrl):
                    if ctrl.message == "start":
                        get = ctrl.config.get
                        self.seen = [get("boss", "amqp_host"), get("boss", "amqp_pwd"), get("mine", "rate"),
                                     ctrl.config.getint("mine", "n")]
                def handle_wi(self, wid):
                    wid.fields.seen = self.seen
            """)
        self.assertEqual(reply["fields"]["seen"], ["h:1", "p@w", "5%", 3])

    def test_a_handler_that_cannot_be_used_is_named_in_one_line(self):
        for source, says in [
                (None, "there is no handler file sizer.py"),
                ("def x(:\n", "cannot import the handler: SyntaxError: "),
                ("x = 1\n", "sizer.py has no class ParticipantHandler"),
                ("class ParticipantHandler(object): pass\n", "has no method handle_wi"),
                ("import nonsense_xyz\n", "ModuleNotFoundError: No module named 'nonsense_xyz' (sizer.py:1)"),
                ("class ParticipantHandler(object):\n    def __init__(self, x): pass\n    def handle_wi(self, wid): pass\n",
                 "cannot construct ParticipantHandler: TypeError: "),
                ("class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n"
                 "    def handle_lifecycle_control(self, ctrl): raise KeyError('k')\n",
                 "ParticipantHandler refused \"start\": KeyError: 'k' (sizer.py:3)")]:
            out = self.run_handler(source)
            fatal = [line for line in out.splitlines() if line.startswith("FATAL ")]
            self.assertEqual(len(fatal), 1, out)
            self.assertIn(says, fatal[0])

    def test_a_wrong_logging_call_never_raises_into_the_handler(self):
        (kind, _, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    self.log.info("%d", "x")
                    self.log.warning("fine")
            """)
        self.assertEqual(kind, "reply")


if __name__ == "__main__":
    unittest.main()
