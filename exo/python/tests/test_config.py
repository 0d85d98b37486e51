"""What ctrl.config of "start" is."""

import unittest

from hosted import Hosted


class TestConfig(Hosted):
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


if __name__ == "__main__":
    unittest.main()
