"""What becomes of a workitem that a handler has worked on."""

import unittest

from hosted import BODY, Hosted


class TestHost(Hosted):
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
                ('OSError(5, None)', "OSError: [Errno 5] None"),
                ("SystemExit(3)", "SystemExit: 3"),
                ("KeyboardInterrupt()", "KeyboardInterrupt: "),
                ('__import__("urllib.error").error.HTTPError("http://h/x", 404, "gone", {}, None)',
                 "HTTPError: 404 http://h/x"),
                ('__import__("subprocess").CalledProcessError(3, "false")',
                 "CalledProcessError: Command 'false' returned non-zero exit status 3."),
                ('type("Odd", (Exception,), {"msg": "its own"})("text")', "Odd: its own"),
                ('type("Odd", (Exception,), {"msg": b"its output"})("text")', "Odd: b'its output'"),
                ('type("Odd", (Exception,), {"msg": ["a", 1]})("text")', "Odd: ['a', 1]"),
                ('type("Odd", (Exception,), {"msg": None})("text")', "Odd: text"),
                ('type("Odd", (Exception,), {"msg": lambda e: "x"})("text")', "Odd: text"),
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

    def test_the_handler_knows_attempt_and_redelivery_and_no_exception_is_active(self):
        (_, reply, _), _ = self.result("""
            import sys
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    wid.fields.seen = [wid.redelivered, wid.attempt, wid.cancelled, sys.exc_info()[0] is None]
            """)
        self.assertEqual(reply["fields"]["seen"], [True, 2, False, True])

    def test_a_body_that_python_cannot_read_is_an_error_and_never_an_exception(self):
        for body in ("[]", "{", '{"fields":%s}' % ("[" * 100000), '{"fields":[]}'):
            (kind, reply, error), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid): pass
                """, body=body)
            self.assertEqual((kind, reply), ("error", None), body[:20])
            self.assertTrue(error["message"])

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

    def test_a_false_result_is_no_error_and_no_result_stays_untouched(self):
        for line, there in [("wid.result = False", {"__result__": False}), ("pass", {}), ("return 5", {})]:
            (kind, reply, _), _ = self.result("""
                class ParticipantHandler(object):
                    def handle_wi(self, wid):
                        %s
                """ % line)
            self.assertEqual((kind, {k: v for k, v in reply["fields"].items() if k == "__result__"}), ("reply", there))

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
            # It is the same where the work ends in an error.
            for more in ("", "wid.fields.bad = b'x'; "):
                (found, _, error), _ = self.result("""
                    class ParticipantHandler(object):
                        def handle_wi(self, wid):
                            %s; %sraise ValueError("boom")
                    """ % (line, more))
                self.assertEqual((found, error["message"], error["forget"]), ("error", "ValueError: boom", kind == "forget"), line)
        (_, _, error), _ = self.result("""
            class ParticipantHandler(object):
                def handle_wi(self, wid):
                    class Neither(object):
                        def __bool__(self):
                            raise ValueError("neither true nor false")
                    wid.params.forget = Neither()
            """)
        self.assertEqual((error["message"], error["forget"]), ("ValueError: neither true nor false", False))

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


if __name__ == "__main__":
    unittest.main()
