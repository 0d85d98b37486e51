"""The workitem's contract, a sentence a test."""

import copy
import json
import pickle
import unittest

from RuoteAMQP import DictAttrProxy, FlowExpressionId
from RuoteAMQP import Workitem as Other
from SkyNET import Workitem, _reply
from SkyNET.Control import ParticipantCtrl, WorkItemCtrl

TEXT = json.dumps({
    "fields": {"a": {"b": 1}, "list": [{"x": 1}], "items": 7, "params": {"p": "v"}},
    "fei": {"expid": "0_0", "wfid": "w", "sub_wfid": "s", "engine_id": "e"},
    "wf_name": "test", "participant_name": "sizer", "unknown": [1]})


class TestWorkitem(unittest.TestCase):
    def setUp(self):
        self.wid = Workitem(TEXT)

    def test_there_is_one_class(self):
        self.assertIs(Workitem, Other)

    def test_it_is_made_from_text_bytes_or_a_dict(self):
        for source in (TEXT, TEXT.encode(), json.loads(TEXT)):
            self.assertEqual(Workitem(source).fields.a.b, 1)

    def test_missing_params_are_empty(self):
        self.assertEqual(Workitem({"fields": {}}).params.as_dict(), {})

    def test_a_missing_attribute_is_none_and_assignment_creates(self):
        self.assertIsNone(self.wid.fields.nothing)
        self.wid.fields.made = 1
        self.assertEqual(self.wid.to_h()["fields"]["made"], 1)

    def test_an_assigned_dict_stays_the_handlers_own(self):
        mine = {"n": [1]}
        self.wid.fields.mine = mine
        mine["n"].append(2)
        self.assertEqual(self.wid.to_h()["fields"]["mine"], {"n": [1, 2]})
        self.assertIs(self.wid.fields.mine.as_dict(), mine)

    def test_dicts_inside_lists_are_plain_and_live(self):
        self.wid.fields.list[0]["x"] = 2
        self.assertEqual(self.wid.to_h()["fields"]["list"], [{"x": 2}])

    def test_the_proxy_of_an_empty_dict_is_true(self):
        self.assertTrue(DictAttrProxy({}))

    def test_every_name_but_as_dict_is_a_field(self):
        self.assertEqual(self.wid.fields.items, 7)
        self.assertIsNone(self.wid.fields.get)
        self.assertIsNone(self.wid.fields.fields)
        self.assertIsNone(self.wid.fields.__error__)

    def test_names_with_dots_given_to_getattr_stay_flat(self):
        setattr(self.wid.fields, "a.b", 5)
        self.assertEqual(getattr(self.wid.fields, "a.b"), 5)
        self.assertEqual(self.wid.fields.a.b, 1)

    def test_iteration_membership_repr(self):
        self.assertIn("a", self.wid.fields)
        self.assertEqual(list(self.wid.params), ["p"])
        self.assertEqual(repr(self.wid.params), "{'p': 'v'}")

    def test_unknown_attributes_may_be_set_and_reading_them_raises(self):
        with self.assertRaises(AttributeError):
            self.wid.whatever
        self.wid.whatever = 1
        self.assertEqual(self.wid.whatever, 1)

    def test_fei_and_sid(self):
        self.assertEqual(self.wid.sid, "0_0!s!w")
        self.assertEqual((self.wid.fei["subid"], self.wid.fei["engine_id"]), ("s", "e"))
        self.assertEqual((self.wid.fei.subid, self.wid.fei["wfid"], self.wid.wfid), ("s", "w", "w"))

    def test_lookup_and_set_field(self):
        self.assertEqual(self.wid.lookup("a.b"), 1)
        self.assertEqual(self.wid.lookup("list.0.x"), 1)
        self.wid.set_field("c.d", 2)
        self.assertEqual(self.wid.to_h()["fields"]["c"], {"d": 2})

    def test_result_error_and_forget(self):
        self.assertIsNone(self.wid.error)
        self.assertIsNone(self.wid.result)
        self.wid.result = True
        self.assertIs(self.wid.fields.as_dict()["__result__"], True)
        self.assertFalse(self.wid.forget)
        self.wid.params.forget = "yes"
        self.assertTrue(self.wid.forget)

    def test_dup_is_equal_and_of_its_own(self):
        other = self.wid.dup()
        self.assertEqual(other, self.wid)
        other.fields.a.b = 2
        self.assertEqual(self.wid.fields.a.b, 1)

    def test_unknown_keys_survive_in_order(self):
        self.assertEqual(list(self.wid.to_h()), list(json.loads(TEXT)))

    def test_a_number_of_more_digits_than_python_makes_an_int_of_survives(self):
        for text in ("7" * 5000, "-" + "7" * 5000, "7" * 4000):
            body = '{"fields":{"params":{}},"n":[%s]}' % text
            wid = Workitem(body)
            for one in (wid, wid.dup(), pickle.loads(pickle.dumps(wid))):
                self.assertEqual(_reply.body(one).decode(), body)

    def test_a_proxy_can_be_copied_pickled_and_compared(self):
        a = self.wid.fields.a
        for other in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
            self.assertEqual((other, other.as_dict()), (a, {"b": 1}))
            self.assertIsNot(other.as_dict(), a.as_dict())
        self.assertEqual(a, {"b": 1})
        self.assertNotEqual(a, {"b": 2})

    def test_a_workitem_can_be_pickled_for_another_process(self):
        self.assertEqual(pickle.loads(pickle.dumps(self.wid)), self.wid)

    def test_a_proxy_that_is_assigned_is_its_dict_and_one_of_ones_own_works(self):
        self.wid.fields.copy = self.wid.fields.a
        self.wid.fields.copy.b = 5
        self.assertEqual(self.wid.fields.a.b, 5)
        mine = {"x": {"y": 1}}
        DictAttrProxy(mine).x.y = 2
        self.assertEqual(mine, {"x": {"y": 2}})

    def test_deleting(self):
        del self.wid.fields.a
        del self.wid.fields["list"]
        self.assertEqual(sorted(self.wid.fields), ["items", "params"])
        with self.assertRaises(KeyError):
            self.wid.fields["a"]

    def test_whatever_is_read_may_also_be_set(self):
        for name in ("fei", "sid", "wfid", "wf_name", "participant_name", "dispatched_at", "timed_out", "is_cancel"):
            getattr(self.wid, name)
            setattr(self.wid, name, "mine")
            self.assertEqual(getattr(self.wid, name), "mine")
        self.assertEqual(self.wid.to_h()["fei"]["wfid"], "w")

    def test_fields_and_params_may_be_replaced(self):
        mine = {"n": 1, "params": None}
        self.wid.fields = mine
        self.wid.params.p = 2
        self.assertEqual(self.wid.to_h()["fields"], {"n": 1, "params": {"p": 2}})
        self.wid.params = {"q": 1}
        self.assertIs(self.wid.fields.as_dict(), mine)
        self.assertEqual(mine["params"], {"q": 1})

    def test_set_field_goes_through_lists_and_replaces_none_of_them(self):
        self.wid.set_field("list.0.x", 2)
        self.wid.set_field("list.0.y.z", 3)
        self.assertEqual(self.wid.fields.list, [{"x": 2, "y": {"z": 3}}])
        with self.assertRaises(ValueError):
            self.wid.set_field("list.x", 1)
        self.assertIsNone(self.wid.lookup("list.9.x"))
        self.assertIsNone(self.wid.lookup("list.\u00b2.x"))

    def test_lookup_and_set_field_go_through_whatever_a_handler_has_put_there(self):
        own = {"n": 1}
        self.wid.fields.as_dict().update(own=DictAttrProxy(own), several=[DictAttrProxy(own)], pair=(0, {"n": 2}))
        for path, found in [("own.n", 1), ("several.0.n", 1), ("pair.1.n", 2), ("pair.2", None)]:
            self.assertEqual(self.wid.lookup(path), found, path)
        self.assertIs(self.wid.lookup("own"), own)
        self.wid.set_field("own.deep.m", 3)
        self.wid.set_field("several.0.k", 4)
        self.assertEqual(own, {"n": 1, "deep": {"m": 3}, "k": 4})

    def test_set_field_loses_no_value_that_is_on_the_way(self):
        wid = Workitem({"fields": {"text": "kept", "none": None, "deep": {"n": 5}}})
        for path, says in [("text.a", "text is a str"), ("deep.n.a.b", "deep.n is a int")]:
            with self.assertRaisesRegex(TypeError, says):
                wid.set_field(path, 1)
        wid.set_field("none.a", 1)
        self.assertEqual(wid.fields.as_dict(), {"text": "kept", "none": {"a": 1}, "deep": {"n": 5}, "params": {}})

    def test_a_workitem_and_its_fields_can_be_keys_whatever_becomes_of_their_content(self):
        wid = Workitem({"fields": {"a": {"b": 1}}, "fei": {"expid": "0", "wfid": "w", "subid": "s"}})
        fields = wid.fields.a
        kept = {wid: "workitem", fields: "fields"}
        wid.fields.more = 1
        fields.b = 2
        self.assertEqual((kept[wid], kept[fields]), ("workitem", "fields"))
        self.assertEqual((hash(wid), hash(fields)), (hash(wid.dup()), hash(DictAttrProxy({"b": 2}))))
        self.assertNotEqual(wid, Workitem({"fei": wid.to_h()["fei"]}))

    def test_what_is_given_by_name_has_the_names_of_the_original(self):
        self.assertEqual(Workitem(msg='{"fields": {"a": 1}}').fields.a, 1)
        self.assertEqual(DictAttrProxy(d={"a": 1}).a, 1)
        parent, child = FlowExpressionId(h={"expid": "0"}), {"expid": "0_1"}
        self.assertTrue(parent.direct_child(other_fei=child))

    def test_what_is_set_as_forget_counts(self):
        self.wid.params.forget = True
        self.wid.forget = False
        self.assertFalse(self.wid.forget)
        self.wid.forget = 1
        self.assertIs(self.wid.forget, True)

    def test_child_id_is_the_last_number_of_expid(self):
        self.assertEqual(Workitem({"fei": {"expid": "0_1_12"}}).fei.child_id, 12)
        self.assertIsNone(Workitem({}).fei.child_id)

    def test_a_workitem_of_nothing_can_be_asked_everything(self):
        wid = Workitem({})
        self.assertEqual([wid.wfid, wid.wf_name, wid.participant_name, wid.dispatched_at, wid.timed_out, wid.is_cancel,
                          wid.error, wid.result, wid.trace, wid.forget, wid.lookup("a.b")],
                         [None, None, None, None, None, False, None, None, None, False, None])

    def test_what_is_no_workitem_is_refused(self):
        for source in ("[]", "7", b'{"fields": []}', 7):
            with self.assertRaises(ValueError):
                Workitem(source)

    def test_controls_are_made_with_and_without_a_message(self):
        for cls, own in ((WorkItemCtrl, "wid"), (ParticipantCtrl, "config")):
            self.assertEqual((cls().message, cls("status").message, getattr(cls(), own)), (None, "status", None))
            for word in ("start", "stop", "die"):
                self.assertTrue(getattr(cls(word), word)())
                self.assertFalse(getattr(cls("status"), word)())

    def test_brackets_give_what_is_there_and_a_class_of_the_handlers_own_keeps_its_methods(self):
        import collections
        self.assertIs(self.wid.fields["a"], self.wid.to_h()["fields"]["a"])
        mine = collections.defaultdict(list)
        self.wid.fields.mine = mine
        self.assertIs(self.wid.fields.mine, mine)
        self.wid.fields.mine["new"].append(1)
        self.assertEqual(sorted(self.wid.fields.mine.items()), [("new", [1])])

    def test_trace_is_the_workitems_own(self):
        self.assertIsNone(self.wid.trace)
        self.wid.trace = ["here"]
        self.assertEqual(self.wid.to_h()["trace"], ["here"])

    def test_forget_that_is_set_is_a_param(self):
        self.wid.forget = True
        self.assertIs(self.wid.to_h()["fields"]["params"]["forget"], True)

    def test_lookup_under_its_other_name_and_with_a_second_argument(self):
        self.assertEqual((self.wid.lf("a.b"), self.wid.lookup("a.b", True), self.wid.lookup("a.x", True)), (1, 1, None))

    def test_a_flow_expression_id_has_all_its_names(self):
        fei = self.wid.fei
        self.assertEqual((fei.to_storage_id(), fei.sub_wfid, fei["sub_wfid"], fei["subid"], fei.to_h()["wfid"]),
                         ("0_0!s!w", "s", "s", "s", "w"))
        child = dict(fei.to_h(), expid="0_0_3")
        self.assertTrue(fei.direct_child(child) and fei.direct_child(FlowExpressionId(child)))
        for other in (dict(child, wfid="x"), dict(child, expid="0_1_3"), dict(child, expid="0_0_3_1"), fei):
            self.assertFalse(fei.direct_child(other))
        with self.assertRaises(KeyError):
            fei["nothing"]

    def test_an_older_engines_sub_wfid_is_the_subid_and_none_in_the_main_process(self):
        for fei, subid, sid in [
                ({"sub_wfid": None}, None, "0!!w"), ({"subid": None}, None, "0!!w"), ({}, None, "0!!w"),
                ({"subid": None, "sub_wfid": "s"}, "s", "0!s!w"), ({"subid": "", "sub_wfid": "s"}, "s", "0!s!w"),
                ({"subid": "s", "sub_wfid": "x"}, "s", "0!s!w"), ({"subid": ""}, "", "0!!w")]:
            wid = Workitem({"fei": dict(fei, expid="0", wfid="w")})
            self.assertEqual((wid.fei.subid, wid.fei["subid"], wid.sid), (subid, subid, sid))

    def test_a_fei_that_is_none_makes_no_trouble(self):
        wid = Workitem('{"fei": 1, "fields": {}}')
        self.assertEqual((wid.wfid, wid.sid, wid.to_h()["fei"]), (None, "None!!None", 1))

    def test_progress_is_kept_between_nothing_and_all(self):
        for given, kept in [(0.5, 0.5), (7, 1.0), (-1, 0.0), (None, None), ("0.25", 0.25)]:
            self.wid.progress(given, 5)
            self.assertEqual(self.wid._progress, (kept, "5"))

    def test_control_messages_read_none_for_what_they_do_not_have_and_take_any_attribute(self):
        for cls in (WorkItemCtrl, ParticipantCtrl):
            ctrl = cls("start")
            self.assertEqual((ctrl.config, ctrl.wid), (None, None))
            ctrl.config = ctrl.other = 1
            self.assertEqual((ctrl.config, ctrl.other), (1, 1))
            with self.assertRaises(AttributeError):
                ctrl.nonsense
            self.assertIn("start", repr(ctrl))

    def test_everything_is_importable_under_its_old_names(self):
        import RuoteAMQP
        import RuoteAMQP.workitem
        import SkyNET
        import SkyNET.Exo
        from RuoteAMQP.participant import Participant, Workitem as W
        from SkyNET.Control import ParticipantCtrl as P
        self.assertIs(RuoteAMQP.Workitem, SkyNET.Workitem)
        self.assertIs(RuoteAMQP.workitem.Workitem, SkyNET.Workitem)
        self.assertIs(RuoteAMQP.workitem.DictAttrProxy, DictAttrProxy)
        self.assertIs(RuoteAMQP.workitem.FlowExpressionId, RuoteAMQP.FlowExpressionId)
        self.assertIs(RuoteAMQP.Participant, Participant)
        self.assertIs(W, SkyNET.Workitem)
        self.assertIs(P, SkyNET.ParticipantCtrl)
        self.assertTrue(isinstance(SkyNET.Exo, type))

    def test_help_reads_well(self):
        import pydoc
        import SkyNET
        page = pydoc.plain(pydoc.render_doc(SkyNET))
        for says in ("handle_wi(self, wid)", "handle_lifecycle_control(ctrl)", "class Workitem", "The fields, by attribute.",
                     "How far the work has got", "class Exo", "make_handler(self, module)"):
            self.assertIn(says, page)
        self.assertNotIn(" object>", page)

    def test_dump_is_sorted_and_indented(self):
        self.assertEqual(self.wid.dump(), json.dumps(json.loads(TEXT), sort_keys=True, indent=4))


if __name__ == "__main__":
    unittest.main()
