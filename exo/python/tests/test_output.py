"""What a handler says: lines of the log."""

import json
import unittest

from hosted import BODY, Hosted


class TestOutput(Hosted):
    def test_a_summary_and_a_dump_are_logged_where_the_workitem_asks_for_them(self):
        source = """
            class ParticipantHandler(object):
                def handle_wi(self, wid): pass
            """
        for fields, says in [({"debug_trace": True}, "workitem 0!s!w1 for None: no parameters; fields debug_trace, params"),
                             ({"debug_trace": 1, "params": {"task": "x", "ref": "sizer", "n": [2]}}, ": task='x', n=[2]; fields "), ({"debug_dump": True}, '"expid": "0"'),
                             ({"params": {"debug_dump": True}}, '"expid": "0"'), ({}, None)]:
            _, out = self.result(source, body=dict(BODY, fields=fields))
            out = out.split("RESULT ")[0]
            self.assertTrue(says in out if says else not out, (fields, out))

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

    def test_a_logging_call_that_does_not_fit_is_shown_with_its_values_and_its_place(self):
        _, out = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    self.log.info("built ", wid.fields.n)
            """)
        self.assertIn(" WARN sizer w1: cannot log 'built ', 1: not all arguments converted during string formatting "
                      "(sizer.py:4)", out)

    def test_what_a_thread_says_in_different_ways_is_in_the_log_in_its_order(self):
        _, out = self.result("""
            import sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("checking", end=" ")
                    self.log.info("by the logger")
                    sys.stderr.write("trouble ")
                    print("printed")
                    print("left", end="")
                    sys.stderr.write("to the end")
            """)
        lines = [line.split("sizer w1: ") for line in out.splitlines() if "w1: " in line]
        self.assertEqual(lines, [[" INFO ", "checking "], [" INFO ", "by the logger"], ["ERROR ", "trouble "],
                                 [" INFO ", "printed"], [" INFO ", "left"], ["ERROR ", "to the end"]], out)

    def test_a_handler_whose_module_configures_logging_anew_still_has_its_logger(self):
        _, out = self.result("""
            import logging.config
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    self.log.info("still heard")
            """)
        self.assertIn(" INFO sizer w1: still heard", out)

    def test_a_handler_that_configures_logging_anew_keeps_its_logger_level_and_wfid(self):
        console = '{"version": 1, "handlers": {"c": {"class": "logging.StreamHandler"}, "f": {"class": "logging.FileHandler", ' \
                  '"filename": "/dev/stderr"}}, "root": {"level": "INFO", "handlers": ["c", "f"]}}'
        for config, times in [('{"version": 1}', 1), ('{"version": 1, "root": {"level": "INFO", "handlers": []}}', 1), (console, 2),
                              ('{"version": 1, "loggers": {"sizer": {"level": "DEBUG", "propagate": False}}}', 1)]:
            _, out = self.result("""
                import logging.config
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        logging.config.dictConfig(%s)
                        self.log.info("still heard")
                        self.log.disabled = True
                        self.log.error("and this")
                """ % config)
            for line in (" INFO sizer w1: still heard", "ERROR sizer w1: and this"):
                self.assertEqual(out.splitlines().count(line), 1, (config, out))
            self.assertEqual(out.count("still heard"), times, (config, out))

    def test_a_warning_is_followed_by_no_empty_line(self):
        _, out = self.result("""
            import warnings
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    warnings.warn("old")
                    self.log.info("with an end\\n")
                    self.log.info("")
            """)
        lines = [line.split("w1: ")[1].strip() for line in out.splitlines() if "w1: " in line]
        self.assertEqual(lines, ["sizer.py:5: UserWarning: old", 'warnings.warn("old")', "with an end", ""], out)

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

    def test_outputs_that_a_handler_deletes_are_no_error(self):
        (kind, _, error), out = self.result("""
            import sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    print("half a line", end="")
                    del sys.stdout, sys.stderr
                def handle_lifecycle_control(self, ctrl):
                    self.log.info("told %s", ctrl.message)
            """)
        self.assertEqual(kind, "reply", error)
        self.assertIn(" INFO sizer: told stop", out)

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


if __name__ == "__main__":
    unittest.main()
