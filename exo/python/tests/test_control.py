"""Status, cancel, processes of the handler's own, launchers."""

import json
import unittest

from hosted import BODY, Hosted


class TestControl(Hosted):
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

    def test_a_child_that_is_forked_before_the_first_workitem_and_not_ended_is_no_second_participant(self):
        imported = "ParticipantHandler.code = fork()"
        made = "ParticipantHandler.__init__ = lambda self: setattr(self, 'code', fork())"
        started = "ParticipantHandler.handle_lifecycle_control = lambda self, c: c.start() and setattr(self, 'code', fork())"
        for ending, code in [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError('in the child')", 1)]:
            for place in (imported, made, started):
                (kind, reply, _), out = self.result("""
                    import atexit, os, sys
                    atexit.register(lambda: print("exit work"))
                    def fork():
                        pid = os.fork()
                        if pid == 0:
                            %s
                        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else None
                    class ParticipantHandler(object):
                        code = None
                        def handle_wi(self, wid):
                            wid.fields.code = self.code
                    %s
                    """ % (ending, place))
                self.assertEqual((kind, reply["fields"]["code"]), ("reply", code), out)
                self.assertEqual((out.count("FATAL"), out.count("exit work")), (0, 1), out)

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
                             # Halves of surrogates, as names of files may have them.
                             (r"def status(self, wid): return 'x\udcff'", r'''"'x\\udcff'"'''),
                             ("def status(self, wid): return '\u00e9'", '"\u00e9"'),
                             ("def status(self, wid): 1 / 0", "null"), ("status = 'no method'", "null"),
                             ("def handle_wi_control(self, ctrl): return ctrl.message + ctrl.wid.wfid", '"statusw1"')]:
            _, out = self.result(handler % method, beside=ask)
            self.assertIn('STATUS {"status": %s, "progress": [0.5, "half"]} None' % said, out)
            self.assertIn("PROGRESS 9 0.5 half", out)

    def test_whatever_is_said_of_the_progress_is_no_error(self):
        (kind, _, _), out = self.result(r"""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.progress(float("nan"), "x\udcff")
            """)
        self.assertEqual(kind, "reply")
        self.assertIn(r"PROGRESS 1 None x\udcff", out)

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
            asker = threading.Thread(target=ask); asker.start()
            """)
        for says in ("control cancel True WorkItemCtrl", "cancel w1", "CANCELLED True False"):
            self.assertIn(says, out)

    def test_a_cancel_that_raises_keeps_nothing_from_handle_wi_control(self):
        _, out = self.result("""
            import time
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    end = time.monotonic() + 30
                    while not hasattr(self, "told") and time.monotonic() < end: time.sleep(0.01)
                    print("TOLD", self.told)
                def handle_wi_control(self, ctrl):
                    self.told = ctrl.message
                def cancel(self, wid):
                    raise ValueError("in cancel")
            """, beside="""
            import threading, time
            def ask():
                while 1 not in host._in_hand: time.sleep(0.01)
                print("CANCELLED", host.cancel(1), file=out)
            asker = threading.Thread(target=ask); asker.start()
            """)
        for says in ("the handler raised on 'cancel'", "ValueError: in cancel", "CANCELLED True", "TOLD cancel"):
            self.assertIn(says, out)

    def test_force_ends_a_handler_that_only_loops_and_is_told_as_cancelled(self):
        (kind, reply, error), out = self.result("""
            import threading
            class ParticipantHandler(object):
                begun = threading.Event()
                def handle_wi(self, wid):
                    wid.fields.begun = True
                    self.begun.set()
                    while True:
                        try:
                            for i in range(1000): pass
                        except Exception:
                            pass
            """, beside="""
            import threading
            def ask():
                host._handler.begun.wait()
                host.cancel(1, True, "cancelled by somebody")
            asker = threading.Thread(target=ask); asker.start()
            """)
        self.assertEqual((kind, error["message"], error["cancelled"]), ("error", "Cancelled: cancelled by somebody", True))
        self.assertTrue(reply["fields"]["begun"])

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
