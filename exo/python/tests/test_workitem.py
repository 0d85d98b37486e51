"""The workitem's contract, a sentence a test."""

import json
import unittest

from RuoteAMQP import DictAttrProxy
from RuoteAMQP import Workitem as Other
from SkyNET import Workitem

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

    def test_dump_is_sorted_and_indented(self):
        self.assertEqual(self.wid.dump(), json.dumps(json.loads(TEXT), sort_keys=True, indent=4))


if __name__ == "__main__":
    unittest.main()
