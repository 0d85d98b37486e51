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
host.set_progress(lambda *said: print("PROGRESS", *said, file=out))
exec(sys.argv[3])
kind, reply, error = host.handle(1, sys.argv[2].encode(), True, 2)
host.lifecycle("stop")
print("RESULT", json.dumps([kind, reply and json.loads(reply), error]), file=out)
print("PUBLISHED", json.dumps([json.loads(body) for body in published]), file=out)
"""


class TestHost(unittest.TestCase):
    def run_handler(self, source, body=BODY, beside="", files=(), **settings):
        with tempfile.TemporaryDirectory() as folder:
            code = os.path.join(folder, "sizer.py")
            if source is not None:
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

    def test_a_false_result_is_no_error_and_no_result_stays_untouched(self):
        for line, there in [("wid.result = False", {"__result__": False}), ("pass", {}), ("return 5", {})]:
            (kind, reply, _), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        %s
                """ % line)
            self.assertEqual((kind, {k: v for k, v in reply["fields"].items() if k == "__result__"}), ("reply", there))

    def test_one_handler_lives_as_long_as_the_process(self):
        (_, reply, _), _ = self.result("""
            class ParticipantHandler(object):
                made = 0
                def __init__(self):
                    ParticipantHandler.made += 1
                    self.handled = 0
                def handle_wi(self, wid):
                    self.handled += 1
                    wid.fields.seen = [self.made, self.handled]
            """, beside="host.handle(7, sys.argv[2].encode(), False, 1)")
        self.assertEqual(reply["fields"]["seen"], [1, 2])

    def test_the_logger_is_there_before_start_and_named_after_the_participant(self):
        _, out = self.result("""
            import logging
            class ParticipantHandler(object):
                def handle_lifecycle_control(self, ctrl):
                    self.log.warn("%s %s %s", ctrl.message, self.log.name, isinstance(self.log, logging.Logger))
                def handle_wi(self, wid): pass
            """)
        self.assertIn(" WARN sizer: start sizer True", out)

    def test_the_log_level_is_the_configurations_and_a_wrong_one_is_logged_and_ignored(self):
        source = """
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    self.log.debug("quiet")
                    self.log.info("plain")
                    self.log.error("loud")
            """
        for level, there in [(None, [False, True, True]), ("DEBUG", [True, True, True]), ("error", [False, False, True]),
                             ("10", [True, True, True]), ("LOUD", [False, True, True])]:
            _, out = self.result(source, log_level=level)
            self.assertEqual([": %s" % word in out for word in ("quiet", "plain", "loud")], there, level)
        self.assertIn("log_level is ignored: 'LOUD' is none of DEBUG", out)

    def test_no_logging_call_raises_into_the_handler_whatever_its_arguments(self):
        calls = ["self.log.info()", "self.log.info('%d', 'x')", "self.log.info('%s')", "self.log.info('x', nonsense=1)",
                 "self.log.log('INFO', 'x')", "self.log.log()", "self.log.exception()", "self.log('called')",
                 "self.log.warn(1, 2, 3)", "self.log.error('%s %s', 1)", "self.log.debug('%d %', 1)",
                 "logging.getLogger('other').warning('%d', 'x')", "logging.getLogger('other').warning()",
                 "self.log.info(Odd())", "self.log.critical('%(a)s', 5)", "self.log.warning('%s', Odd())"]
        (kind, _, _), out = self.result("""
            import logging
            class Odd(object):
                def __str__(self): raise RuntimeError("no")
                __repr__ = __str__
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    %s
            """ % "\n                    ".join(calls))
        self.assertEqual(kind, "reply", out)
        self.assertGreaterEqual(out.count("cannot log"), 11, out)
        self.assertIn("sizer w1: called", out)

    def test_a_print_is_in_the_log_at_once(self):
        out = self.run_handler("""
            import os
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("said before the end")
                    os.kill(os.getpid(), 9)
            """)
        self.assertIn("INFO sizer w1: said before the end", out)

    def test_threads_of_the_handler_speak_with_its_wfid(self):
        _, out = self.result("""
            import threading
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    t = threading.Thread(target=lambda: print("from a thread"))
                    t.start(); t.join()
                    t = threading.Thread(target=lambda: 1 / 0)
                    t.start(); t.join()
            """)
        self.assertIn("INFO sizer w1: from a thread", out)
        self.assertIn("ERROR sizer w1: ZeroDivisionError", out)

    def test_a_handler_may_close_and_replace_its_outputs(self):
        (kind, _, _), out = self.result("""
            import os, sys, io
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    os.close(1); os.close(2)
                    other = os.open("/dev/null", os.O_WRONLY)
                    print("after closing", other)
                    sys.stdout.close()
                    print("after closing twice")
                    sys.stdout = io.StringIO()
                    self.log.info("the logger still speaks")
            """, beside="out = open(os.dup(1), 'w', 1) if __import__('os') else None".replace("os.dup", "__import__('os').dup"))
        for says in ("after closing 1", "after closing twice", "the logger still speaks"):
            self.assertIn(says, out)
        self.assertEqual(kind, "reply")

    def test_what_else_is_done_to_an_output(self):
        (kind, _, _), out = self.result("""
            import codecs, io, sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    sys.stdout.reconfigure(line_buffering=True)
                    codecs.getwriter("utf8")(sys.stdout.buffer).write(u"by codec \u00e9\\n")
                    wrapped = io.TextIOWrapper(sys.stdout.buffer, "latin-1", write_through=True)
                    wrapped.write("wrapped\\n")
                    del wrapped
                    sys.stdout.writelines(["one\\n", "two\\n"])
                    print("no end", end=""); sys.stdout.flush()
                    print(sys.stdout.name, sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.closed, sys.stdout.fileno())
                    try: sys.stdout.write(b"bytes")
                    except TypeError as e: print(e)
            """)
        lines = [line.split("w1: ")[1] for line in out.splitlines() if "w1: " in line]
        self.assertEqual(lines, ["by codec \u00e9", "wrapped", "one", "two", "no end", "<log> utf-8 False False 1",
                                 "write() argument must be str, not bytes"], out)

    def test_a_line_that_never_ends_is_cut_and_nothing_of_it_is_lost(self):
        _, out = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    for i in range(3000): print("." * 1000, end="")
            """)
        self.assertEqual((out.count("."), out.count("w1: ...")), (3000000, 3))

    def test_lines_as_json(self):
        _, out = self.result("""
            import sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("two\\nlines \\udc80")
                    print("x", file=sys.stderr)
                    self.log.warning("careful")
            """, log_format="json")
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        self.assertEqual([(l["level"], l["participant"], l["wfid"], l["message"]) for l in lines],
                         [("INFO", "sizer", "w1", "two"), ("INFO", "sizer", "w1", "lines \\udc80"),
                          ("ERROR", "sizer", "w1", "x"), ("WARN", "sizer", "w1", "careful")])
        self.assertRegex(lines[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_handlers_may_fork_chdir_and_set_umask_and_environment(self):
        (kind, reply, _), out = self.result("""
            import multiprocessing, os, signal, subprocess
            def double(n):
                print("in a child", n)
                return 2 * n
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    os.chdir("/"); os.umask(0o077); os.environ["MINE"] = "yes"
                    with multiprocessing.get_context("fork").Pool(2) as pool:
                        wid.fields.doubled = pool.map(double, [1, 2])
                    wid.fields.said = subprocess.check_output(["sh", "-c", "echo $MINE"]).decode()
                    wid.fields.chld = signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
            """)
        self.assertEqual(kind, "reply", out)
        self.assertEqual([reply["fields"][k] for k in ("doubled", "said", "chld")], [[2, 4], "yes\n", True])
        self.assertIn("INFO sizer w1: in a child 1", out)

    def test_a_forked_child_that_is_not_ended_runs_none_of_our_exit_work(self):
        for ending, code in [("pass", 0), ("sys.exit(3)", 3), ("sys.exit('words')", 1), ("raise ValueError('in the child')", 1)]:
            (kind, reply, _), out = self.result("""
                import atexit, os, sys
                atexit.register(lambda: print("exit work of", os.getpid()))
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        pid = os.fork()
                        if pid == 0:
                            try:
                                self.send_to_engine(wid)
                            except RuntimeError as e:
                                print("refused:", e)
                            %s
                            return
                        wid.fields.code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                """ % ending)
            self.assertEqual((kind, reply["fields"]["code"]), ("reply", code), out)
            self.assertEqual((out.count("RESULT "), out.count("exit work of")), (1, 1), out)
            self.assertIn("refused: messages go by the participant's own process", out)

    def test_the_error_reply_carries_the_workitem_as_it_came_if_what_is_left_is_none(self):
        for line, says in [
                ("wid.to_h().clear()", "TypeError: there are no fields any more"),
                ("wid.fields = [1]", "TypeError: fields is a list"),
                ("wid.to_h()['fields'] = None", "TypeError: fields is a NoneType"),
                ("d = wid.fields.as_dict(); [d := d.setdefault('deep', {}) for _ in range(100000)]",
                 "ValueError: fields.deep.deep.deep.deep.deep.deep.deep… is not JSON: it is nested too deeply")]:
            (kind, reply, error), out = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        %s
                """ % line)
            self.assertEqual((kind, reply), ("error", None), line)
            self.assertTrue(error["message"].startswith(says), error)

    def test_the_reply_has_the_fei_that_the_workitem_came_with(self):
        for line in ("wid.to_h()['fei'] = 7", "del wid.to_h()['fei']", "wid.to_h()['fei']['wfid'] = 'other'"):
            for more in ("", "; raise ValueError()"):
                (_, reply, _), _ = self.result("""
                    class ParticipantHandler(object):
                        def handle_wi(self, wid):
                            %s%s
                    """ % (line, more))
                self.assertEqual(reply["fei"], BODY["fei"], line)

    def test_numbers_keep_their_spelling_where_a_double_would_change_them(self):
        body = '{"fields":{"params":{},"a":1e400,"b":0.12345678901234567890,"c":1.5,"d":[-1E-400],"e":123456789012345678901234567890},"fei":{"wfid":"w","expid":"0"}}'
        out = self.run_handler("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.twice = wid.fields.c * 2
            """, body=body, beside="""
            kind, reply, error = host.handle(7, sys.argv[2].encode(), False, 1)
            print("RAW", reply.decode(), file=out)
            """)
        raw = out[out.index("RAW ") + 4:].splitlines()[0]
        self.assertEqual(raw, body.replace('7890},"fei"', '7890,"twice":3.0},"fei"'))

    def test_forget_is_pythons_truth_and_fields_count_too(self):
        for line, kind in [("wid.params.forget = 'no'", "forget"), ("wid.fields.forget = [0]", "forget"),
                           ("wid.params.forget = 0", "reply"), ("wid.forget = True", "forget"),
                           ("wid.fields.forget = True; wid.forget = False", "reply")]:
            (found, _, _), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        %s
                """ % line)
            self.assertEqual(found, kind, line)

    def test_status_is_what_the_handler_says_and_its_progress(self):
        handler = """
            import threading
            class ParticipantHandler(object):
                begun, done = threading.Event(), threading.Event()
                %s
                def handle_wi(self, wid):
                    wid.progress(0.5, "half")
                    self.begun.set(); self.done.wait(30)
            """
        ask = """
            import threading
            t = threading.Thread(target=host.handle, args=(9, sys.argv[2].encode(), False, 1)); t.start()
            h = host._handler; h.begun.wait(30)
            print("STATUS", host.status(9), host.status(10), file=out)
            h.done.set(); t.join(); h.done.clear(); h.begun.clear(); h.done.set()
            """
        for method, said in [("", "null"), ("def status(self, wid): return 'at ' + wid.wfid", '"at w1"'),
                             ("def status(self, wid): return {'n': wid.fields.n}", '{"n": 1}'),
                             ("def status(self, wid): return {1, }", '"{1}"'),
                             ("def status(self, wid): 1 / 0", "null"), ("status = 'no method'", "null"),
                             ("def handle_wi_control(self, ctrl): return ctrl.message + ctrl.wid.wfid", '"statusw1"')]:
            _, out = self.result(handler % method, beside=ask)
            self.assertIn('STATUS {"status": %s, "progress": [0.5, "half"]} None' % said, out)
            self.assertIn("PROGRESS 9 0.5 half", out)

    def test_cancel_is_told_to_the_handler_in_every_way_it_may_want_to_know(self):
        _, out = self.result("""
            import time
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("begun", flush=True)
                    while not wid.cancelled or not hasattr(self, "asked"): time.sleep(0.01)
                    wid.fields.stopped = True
                def handle_wi_control(self, ctrl):
                    print("control", ctrl.message, ctrl.wid.cancelled, type(ctrl).__name__)
                def cancel(self, wid):
                    print("cancel", wid.wfid); self.asked = True
            """, beside="""
            import threading, time
            def ask():
                while 1 not in host._in_hand: time.sleep(0.01)
                print("CANCELLED", host.cancel(1), host.cancel(5), file=out)
            threading.Thread(target=ask).start()
            """)
        for says in ("control cancel True WorkItemCtrl", "cancel w1", "CANCELLED True False"):
            self.assertIn(says, out)

    def test_force_ends_a_handler_that_only_loops_and_is_told_as_cancelled(self):
        (kind, reply, error), out = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.begun = True
                    while True:
                        try:
                            for i in range(1000): pass
                        except Exception:
                            pass
            """, beside="""
            import threading, time
            def ask():
                while 1 not in host._in_hand: time.sleep(0.01)
                host.cancel(1, True, "cancelled by somebody")
            threading.Thread(target=ask).start()
            """)
        self.assertEqual((kind, error["message"], error["cancelled"]), ("error", "Cancelled: cancelled by somebody", True))
        self.assertTrue(reply["fields"]["begun"])

    def test_an_exoskeleton_of_the_authors_own(self):
        mine = """
            from SkyNET import Exo
            class Mine(Exo):
                def make_handler(self, module):
                    self.log.info("made for %s from %s, rate %s", self.name, module.__name__, self.config.get("mine", "rate"))
                    return module.Other(7)
                def consume(self, wid):
                    wid.fields.before = True
                    super().consume(wid)
                def on_error(self, wid, error):
                    if str(error) == "forgiven":
                        wid.fields.forgiven = True
                        return
                    raise RuntimeError("in other words: %s" % error)
                def on_control(self, ctrl):
                    print("control", ctrl.message)
                    return super().on_control(ctrl)
            """
        handler = """
            class Other(object):
                def __init__(self, n): self.n = n
                def handle_wi(self, wid):
                    wid.fields.n = self.n
                    %s
            """
        for line, kind, there in [("pass", "reply", {"n": 7, "before": True}),
                                  ("raise ValueError('forgiven')", "reply", {"n": 7, "before": True, "forgiven": True}),
                                  ("raise ValueError('boom')", "error", {"n": 7, "before": True})]:
            (found, reply, error), out = self.result(handler % line, files={"mine.py": mine}, exoskeleton="mine:Mine")
            self.assertEqual((found, reply["fields"]), (kind, dict(there, params={})), out)
            for says in ("made for sizer from sizer, rate 5%", "control start", "control stop"):
                self.assertIn(says, out)
        self.assertEqual(error["message"], "RuntimeError: in other words: boom")

    def test_an_exoskeleton_that_cannot_be_used_is_named_in_one_line(self):
        good = "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n"
        for name, says in [("nowhere:Mine", "cannot import the exoskeleton nowhere:Mine: ModuleNotFoundError"),
                           ("mine:Missing", 'cannot use exoskeleton = "mine:Missing": there is no such class'),
                           ("mine:Odd", 'it is no subclass of SkyNET.Exo'), ("broken:X", "ZeroDivisionError")]:
            out = self.run_handler(good, files={"mine.py": "class Odd(object): pass\n", "broken.py": "1 / 0\n"}, exoskeleton=name)
            fatal = [line for line in out.splitlines() if line.startswith("FATAL ")]
            self.assertEqual(len(fatal), 1, out)
            self.assertIn(says, fatal[0])

    def test_config_is_all_files_in_order_with_the_program_section_harmless(self):
        layers = [{"file": "skynet.conf", "ini": "[skynet]\nlog_level = INFO\n[mine]\na = 1\nb = 1\n", "own": False, "optional": False},
                  {"file": "boss.conf", "toml": {"mine": {"b": 2, "C": 2}}},
                  {"file": "x.conf", "ini": "[program:x]\nprocess_name = %(program_name)s_%(process_num)s\n[mine]\nd = %(a)s!\n[mine]\ne = 1\n"},
                  {"file": "broken.conf", "ini": "nonsense\n", "optional": True}]
        (_, reply, _), out = self.result("""
            import configparser
            class ParticipantHandler(object):
                def handle_lifecycle_control(self, ctrl):
                    if ctrl.message != "start":
                        assert ctrl.config is None
                        return
                    c = self.config = ctrl.config
                    assert isinstance(c, configparser.ConfigParser) and c is ctrl.config
                    self.seen = [sorted(c.sections()), dict(c.items("mine")), c.get("program:x", "process_name"),
                                 c.has_option("mine", "B"), c.get("participant", "name"), c.get("boss", "amqp_user")]
                    with open(__file__ + ".ini", "w") as f: f.write("[more]\\nx = 5\\n")
                    c.read(__file__ + ".ini")
                    c.readfp(open(__file__ + ".ini"))
                    self.seen.append(c.getint("more", "x"))
                    try: c.get("mine", "nothing")
                    except configparser.NoOptionError: self.seen.append("raises")
                def handle_wi(self, wid):
                    wid.fields.seen = self.seen
            """, layers=layers)
        self.assertEqual(reply["fields"]["seen"], [
            ["boss", "mine", "participant", "program:x", "skynet"], {"a": "1", "b": "2", "c": "2", "d": "1!", "e": "1"},
            "%(program_name)s_%(process_num)s", True, "sizer", "u", 5, "raises"])
        self.assertIn("cannot read broken.conf: File contains no section headers", out)

    def test_the_account_is_in_the_boss_section_whatever_the_url_looks_like(self):
        from SkyNET import _address
        for url, parts in [
                ("amqp://u:p%40w@h:1/v", ("h:1", "u", "p@w", "v")), ("amqps://h", ("h:5671", "guest", "guest", "/")),
                ("amqp://u:p@[::1]/a%2Fb?heartbeat=5", ("[::1]:5672", "u", "p", "a/b")),
                ("amqp://u:a@b@h:7/", ("h:7", "u", "a@b", "/"))]:
            self.assertEqual(tuple(_address.boss(url)[k] for k in ("amqp_host", "amqp_user", "amqp_pwd", "amqp_vhost")), parts)

    def test_signal_handlers_of_the_handlers_module_make_way_with_one_warning(self):
        _, out = self.result("""
            import signal
            signal.signal(signal.SIGTERM, lambda *a: print("mine"))
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            """)
        self.assertEqual(out.count("signal handlers for TERM, HUP, USR1 or INT are not used"), 1)

    def test_an_error_of_a_handlers_own_class_that_cannot_be_shown_is_still_answered(self):
        (kind, _, error), _ = self.result("""
            class Odd(Exception):
                def __str__(self): raise RuntimeError("no")
                __repr__ = __str__
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    raise Odd()
            """)
        self.assertEqual((kind, error["message"]), ("error", "Odd: (its text raises RuntimeError)"))

    def test_launchers_to_the_participants_own_broker_use_its_connection(self):
        _, out = self.result("""
            from RuoteAMQP import Launcher
            from RuoteAMQP.launcher import Launcher as Same
            class ParticipantHandler(object):
                def handle_lifecycle_control(self, ctrl):
                    if ctrl.message == "start":
                        get = ctrl.config.get
                        self.launcher = Same(get("boss", "amqp_host"), get("boss", "amqp_user"), get("boss", "amqp_pwd"),
                                             amqp_vhost=get("boss", "amqp_vhost"))
                def handle_wi(self, wid):
                    self.launcher.launch("define", wid.fields)
                    self.launcher.launch("define")
                    self.launcher.resume(wid)
                    self.launcher.resume(msg='{"fei": 1}')
                    for wrong in (lambda: self.launcher.launch("x", [1]), lambda: self.launcher.launch("x", {}, "y"),
                                  lambda: self.launcher.resume()):
                        try: wrong()
                        except (TypeError, ValueError) as e: print("refused:", e)
                    self.launcher.chan.close(); self.launcher.conn.close()
            """)
        published = json.loads(out[out.index("PUBLISHED ") + 10:].splitlines()[0])
        self.assertEqual(published[:2], [{"definition": "define", "fields": BODY["fields"], "variables": None},
                                         {"definition": "define", "fields": None, "variables": None}])
        self.assertEqual((published[2]["fei"], published[3]), (BODY["fei"], {"fei": 1}))
        for says in ("fields are a dict, not list", "variables are a dict, not str", "resume needs a workitem or msg"):
            self.assertIn("refused: " + says, out)


if __name__ == "__main__":
    unittest.main()
