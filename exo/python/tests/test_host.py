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
kind, reply, error = host.handle(1, sys.argv[2].encode(), True, 2)
host.lifecycle("stop")
print("RESULT", json.dumps([kind, reply and json.loads(reply), error]), file=out)
print("PUBLISHED", json.dumps([json.loads(body) for body in published]), file=out)
"""


class TestHost(unittest.TestCase):
    def run_handler(self, source, body=BODY, **settings):
        with tempfile.TemporaryDirectory() as folder:
            code = os.path.join(folder, "sizer.py")
            if source is not None:
                with open(code, "w") as f:
                    f.write(textwrap.dedent(source))
            values = {"name": "sizer", "queue": "sizer", "regexp": "sizer", "code": code, "error_class": "RuntimeError",
                      "amqp": ["amqp://u:p%40w@h:1/v"],
                      "layers": [{"file": "config.exo", "toml": {"mine": {"rate": "5%", "n": 3, "on": True, "list": ["é"]}}}]}
            values.update(settings)
            done = subprocess.run(
                [sys.executable, "-c", DRIVER, json.dumps(values),
                 body if isinstance(body, str) else json.dumps(body)], stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env={"PYTHONPATH": PACKAGES, "PATH": "/usr/bin:/bin"}, text=True, timeout=60)
            return done.stdout.replace(code, "sizer.py")

    def result(self, source, **settings):
        out = self.run_handler(source, **settings)
        # A handler may have left half a line before it.
        lines = [line[line.index("RESULT "):] for line in out.splitlines() if "RESULT " in line]
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
                ("SystemExit(3)", "SystemExit: 3"),
                ("KeyboardInterrupt()", "KeyboardInterrupt: "),
                ('__import__("urllib.error").error.HTTPError("http://h/x", 404, "gone", {}, None)',
                 "HTTPError: 404 http://h/x"),
                ('__import__("subprocess").CalledProcessError(3, "false")',
                 "CalledProcessError: Command 'false' returned non-zero exit status 3."),
                ('type("Odd", (Exception,), {"msg": "its own"})("text")', "Odd: its own"),
                ('type("Odd", (Exception,), {"msg": property(lambda e: 1 / 0)})("text")', "Odd: text"),
                ('type("Odd", (Exception,), {"__str__": lambda e: 1 / 0})()',
                 "Odd: (its text raises ZeroDivisionError)"),
                ('OSError(2, "No such file", "/x\\udc80")', "FileNotFoundError(2): /x\\udc80 No such file")]:
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

    def test_what_json_has_no_form_for_is_found_wherever_it_is(self):
        for statement, says in [
                ("f.x = float('nan')", "ValueError: fields.x is not JSON"),
                ("f.x = [0, -float('inf')]", "ValueError: fields.x[1] is not JSON"),
                ("f.x = b'bytes'", "TypeError: fields.x is not JSON"),
                ("f.x = {'y': {(1, 2): 3}}", "TypeError: fields.x.y[(1, 2)] is not JSON"),
                ("f.x = x = {}; x['again'] = x", "ValueError: fields.x.again is not JSON"),
                ("f.x = [f.a]; f.y = [f.a]; f.z = [{'s': {1}}]", "TypeError: fields.z[0].s is not JSON"),
                ("wid.result = {1}", "TypeError: fields.__result__ is not JSON"),
                ("wid.error = {1}", "TypeError: error is not JSON")]:
            (kind, reply, error), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        f = wid.fields
                        f.a = {}
                        %s
                """ % statement)
            self.assertEqual((kind, reply), ("error", None), statement)
            self.assertEqual(error["message"].split(":")[:2], says.split(":")[:2], error)
            self.assertTrue(error["message"].startswith(says), error)

    def test_subclasses_of_dict_and_list_and_proxies_in_lists_are_fine(self):
        (kind, reply, _), _ = self.result("""
            import collections
            class Mine(list): pass
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.a = {"b": "\\ud800\u00e9"}
                    wid.fields.x = collections.OrderedDict(y=Mine([1, wid.fields.a]))
            """)
        self.assertEqual((kind, reply["fields"]["x"]), ("reply", {"y": [1, {"b": "\ud800\u00e9"}]}))

    def test_an_error_of_the_workitems_own_goes_out_as_it_stands_but_never_an_empty_one(self):
        for value, sent in [("{'class': 'X'}", {"class": "X"}), ("'text'", "text"), ("''", None), ("0", None),
                            ("{}", None), ("False", None), ("None", None)]:
            (kind, reply, _), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        wid.error = %s
                """ % value)
            self.assertEqual((kind, reply.get("error")), ("reply", sent), value)

    def test_send_to_engine_takes_any_workitem_and_replaces_a_method_of_that_name(self):
        (kind, reply, error), out = self.result("""
            from SkyNET import Workitem
            class ParticipantHandler(object):
                def send_to_engine(self, wid):
                    raise RuntimeError("not this one")
                def handle_wi(self, wid):
                    self.send_to_engine(Workitem('{"fields": {"other": 1}, "error": ""}'))
                    wid.fields.n = 2
                    self.send_to_engine(wid)
                    wid.fields.n = 3
                    try:
                        self.send_to_engine({})
                    except TypeError as e:
                        wid.fields.refused = str(e)
            """)
        published = json.loads(out[out.index("PUBLISHED ") + 10:].splitlines()[0])
        self.assertEqual([p["fields"].get("n", p["fields"].get("other")) for p in published], [1, 2])
        self.assertNotIn("error", published[0])
        self.assertEqual((kind, reply["fields"]["n"]), ("reply", 3))
        self.assertEqual(reply["fields"]["refused"], "send_to_engine takes a Workitem, not dict")

    def test_the_handler_knows_attempt_and_redelivery_and_no_exception_is_active(self):
        (_, reply, _), _ = self.result("""
            import sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.seen = [wid.redelivered, wid.attempt, wid.cancelled, sys.exc_info()[0] is None]
            """)
        self.assertEqual(reply["fields"]["seen"], [True, 2, False, True])

    def test_the_module_is_named_after_its_file_and_its_folder_is_first_on_the_path(self):
        (_, reply, _), _ = self.result("""
            import os, sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    here = os.path.dirname(os.path.abspath(__file__))
                    wid.fields.seen = [__name__, sys.modules["sizer"] is sys.modules[type(self).__module__],
                                       sys.path[0] == here]
            """)
        self.assertEqual(reply["fields"]["seen"], ["sizer", True, True])

    def test_what_a_handler_says_when_it_is_stopped_cannot_hurt(self):
        (kind, _, _), out = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid): pass
                def handle_lifecycle_control(self, ctrl):
                    print("told", ctrl.message)
                    assert ctrl.message == "start"
            """)
        self.assertEqual(kind, "reply")
        self.assertEqual([w for w in ("told start", "told stop", "AssertionError") if w in out],
                         ["told start", "told stop", "AssertionError"])

    def test_a_summary_and_a_dump_are_logged_where_the_workitem_asks_for_them(self):
        source = """
            class ParticipantHandler(object):
                def handle_wi(self, wid): pass
            """
        for fields, says in [({"debug_trace": True}, "workitem 0!s!w1"), ({"debug_dump": True}, '"expid": "0"'),
                             ({"params": {"debug_dump": True}}, '"expid": "0"'), ({}, None)]:
            _, out = self.result(source, body=dict(BODY, fields=fields))
            out = out.split("RESULT ")[0]
            self.assertTrue(says in out if says else not out, (fields, out))

    def test_a_body_that_python_cannot_read_is_an_error_and_never_an_exception(self):
        for body in ("[]", "{", '{"fields":%s}' % ("[" * 100000), '{"fields":[]}'):
            (kind, reply, error), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid): pass
                """, body=body)
            self.assertEqual((kind, reply), ("error", None), body[:20])
            self.assertTrue(error["message"])

    def test_output_of_any_kind_is_in_the_log(self):
        _, out = self.result("""
            import os, subprocess, sys, warnings
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    sys.stdout.write("half a line")
                    print(" and the rest")
                    sys.stdout.buffer.write(b"raw bytes\\n")
                    print("to stderr \\udc80", file=sys.stderr)
                    subprocess.call(["echo", "a command"], stdout=sys.stdout)
                    self.log.warn("old spelling")
                    self.log.error("two\\nlines")
                    pid = os.fork()
                    if not pid:
                        print("a child")
                        os._exit(0)
                    os.waitpid(pid, 0)
                    print("x" * 300000)
                    sys.stdout.write("left")
            """)
        lines = out.splitlines()
        for line in ["INFO sizer w1: half a line and the rest", "INFO sizer w1: raw bytes", "ERROR sizer w1: to stderr \\udc80",
                     "a command", "WARN sizer w1: old spelling", "ERROR sizer w1: two", "ERROR sizer w1: lines",
                     "INFO sizer w1: a child", "INFO sizer w1: " + "x" * 300000, "INFO sizer w1: left"]:
            self.assertIn(line, [one.strip() for one in lines])

    def test_forget_is_read_after_handle_wi(self):
        (kind, _, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.params.forget = 1
            """)
        self.assertEqual(kind, "forget")
        (kind, _, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.forget = []
            """)
        self.assertEqual(kind, "reply")

    def test_start_brings_a_real_configparser(self):
        (_, reply, _), _ = self.result("""
            class ParticipantHandler(object):
                def handle_lifecycle_control(self, ctrl):
                    if ctrl.message == "start":
                        get = ctrl.config.get
                        self.seen = [get("boss", "amqp_host"), get("boss", "amqp_pwd"), get("mine", "rate"),
                                     ctrl.config.getint("mine", "n"), get("mine", "rate", True),
                                     get("mine", "x", False, {"x": "v"}), get("mine", "y", fallback="f"),
                                     ctrl.config["mine"]["n"], ctrl.config.get("boss", "amqp_vhost"),
                                     ctrl.config.getboolean("mine", "on"), get("mine", "list")]
                def handle_wi(self, wid):
                    wid.fields.seen = self.seen
            """)
        self.assertEqual(reply["fields"]["seen"], ["h:1", "p@w", "5%", 3, "5%%", "v", "f", "3", "v", True, '["é"]'])

    def test_a_handler_that_cannot_be_used_is_named_in_one_line(self):
        for source, says in [
                (None, "there is no handler file sizer.py"),
                ("def x(:\n", "cannot import the handler: SyntaxError: "),
                ("x = 1\n", "sizer.py has no class ParticipantHandler"),
                ("class ParticipantHandler(object): pass\n", "has no method handle_wi"),
                ("import nonsense_xyz\n", "ModuleNotFoundError: No module named 'nonsense_xyz' (sizer.py:1)"),
                ("class ParticipantHandler(object):\n    def __init__(self, x): pass\n    def handle_wi(self, wid): pass\n",
                 "cannot construct ParticipantHandler: TypeError: "),
                ("class ParticipantHandler(object):\n    __slots__ = ()\n    def handle_wi(self, wid): pass\n",
                 "cannot construct ParticipantHandler: AttributeError: "),
                ("import json\njson.loads('')\n", "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (sizer.py:2)"),
                ("raise ValueError('two\\nlines')\n", "ValueError: two lines (sizer.py:1)"),
                ("import sys\nsys.exit(3)\n", "SystemExit: 3 (sizer.py:2)"),
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
