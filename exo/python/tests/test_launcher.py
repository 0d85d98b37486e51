"""The launcher outside a participant."""

import sys
import types
import unittest
from unittest import mock

from RuoteAMQP import Launcher, Participant, Workitem


class TestLauncher(unittest.TestCase):
    def test_without_skynet_it_says_what_is_missing(self):
        with mock.patch.dict(sys.modules, {"_skynet": None}):
            with self.assertRaisesRegex(RuntimeError, "there is no connection: give conn"):
                Launcher("h", "u", "p", "v").launch("x")

    def test_the_extension_is_told_host_with_port_account_and_queue(self):
        for host, told in [("h", "h:5672"), ("h:1", "h:1"), ("::1", "[::1]:5672"), ("[::1]:7", "[::1]:7")]:
            send = mock.Mock()
            with mock.patch.dict(sys.modules, {"_skynet": types.SimpleNamespace(send=send)}):
                Launcher(amqp_host=host, amqp_user="u", amqp_pass="p", amqp_vhost="v").launch("x", {"ä": 1})
            send.assert_called_once_with(told, "u", "p", "v", "ruote_workitems",
                                         b'{"definition":"x","fields":{"\\u00e4":1},"variables":null}')

    def test_a_connection_of_pikas_is_used(self):
        conn, pika = mock.Mock(), mock.Mock()
        with mock.patch.dict(sys.modules, {"pika": pika}):
            Launcher(conn=conn).resume(Workitem({"fei": {"wfid": "w"}, "fields": {"params": {}}}))
        pika.BasicProperties.assert_called_once_with(content_type="text/plain", delivery_mode=2)
        conn.channel().basic_publish.assert_called_once_with(
            "", "ruote_workitems", b'{"fei":{"wfid":"w"},"fields":{"params":{}}}', pika.BasicProperties())

    def test_what_json_has_no_form_for_is_refused(self):
        with self.assertRaises(TypeError):
            Launcher().launch("x", {"a": {1}})

    def test_the_base_class_can_be_derived_from(self):
        class Mine(Participant):
            def consume(self):
                return self.workitem

        self.assertIsNone(Mine(ruote_queue="q", amqp_host="h", amqp_user="u", amqp_pass="p", amqp_vhost="v").consume())


if __name__ == "__main__":
    unittest.main()
