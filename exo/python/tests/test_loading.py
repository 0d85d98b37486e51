"""How a handler is found, made and started."""

import json
import unittest

from hosted import Hosted


class TestLoading(Hosted):
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

    def test_a_handler_that_cannot_be_used_is_named_in_one_line(self):
        for source, says in [
                ("def x(:\n", "cannot import the handler: SyntaxError: "),
                ("x = 1\n", "sizer.py has no class ParticipantHandler"),
                ("x = '\0'\n", "null bytes (sizer.py)"),
                ("class ParticipantHandler(object): pass\n", "has no method handle_wi"),
                ("class ParticipantHandler(object):\n    async def handle_wi(self, wid): pass\n", "would never run"),
                ("class ParticipantHandler(object):\n    def handle_wi(self, wid): yield 1\n", "would never run"),
                ("import nonsense_xyz\n", "ModuleNotFoundError: No module named 'nonsense_xyz' (sizer.py:1)"),
                ("class ParticipantHandler(object):\n    def __init__(self, x): pass\n    def handle_wi(self, wid): pass\n",
                 "required positional argument: 'x' (sizer.py:2)"),
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

    def test_signal_handlers_of_the_handlers_module_make_way_with_one_warning(self):
        _, out = self.result("""
            import signal
            signal.signal(signal.SIGTERM, lambda *a: print("mine"))
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            """)
        self.assertEqual(out.count("signal handlers for TERM, HUP, USR1 or INT are not used"), 1)


if __name__ == "__main__":
    unittest.main()
