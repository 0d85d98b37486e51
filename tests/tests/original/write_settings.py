#!/usr/bin/python3
"""Writes settings from templates; its own are read in every way that there is."""

import configparser
import io
import os


class ParticipantHandler(object):

    def handle_lifecycle_control(self, ctrl):
        """ participant control thread """
        if ctrl.message != "start":
            return
        self.config = config = ctrl.config
        self.told = told = {}
        told["defaults"] = dict(config.defaults())
        told["sections"] = [s for s in config.sections() if s.startswith("settings")]
        told["options"] = sorted(config.options("settings"))
        told["raw"] = config.get("settings", "path", True)
        told["vars"] = config.get("settings", "path", False, {"project": "Other"})
        told["items"] = dict(config.items("settings", 0, {"project": "Third"}))["path"]
        told["lines"] = config.get("settings", "list").split("\n")
        told["numbers"] = [config.getint("settings", "port"), config.getfloat("settings", "rate"),
                           config.getboolean("settings", "on"), config.has_option("settings", "off")]
        told["colon"] = config.get("settings", "colon")
        told["account"] = [config.get("boss", key) for key in ("amqp_user", "amqp_vhost")]
        told["host"] = config.get("boss", "amqp_host").split(":")[0]
        told["participant"] = config.get("participant", "name")
        # It is our own to change.
        config.set("settings", "port", "0")
        config.add_section("added")
        config.set("added", "key", "value")
        config.readfp(io.StringIO("[settings]\nlater = %(project)s\n"))
        told["later"] = config.get("settings", "later")
        if config.has_option("settings", "more"):
            told["read"] = config.read([config.get("settings", "more"), "/nowhere/at/all.conf"])
        out = io.StringIO()
        config.write(out)
        again = configparser.ConfigParser()
        again.read_string(out.getvalue())
        told["again"] = again.get("added", "key")
        config.remove_option("settings", "on")
        config.optionxform = str

    def handle_wi(self, wid):
        """ actual job thread """
        wid.result = False
        f = wid.fields
        f.told = self.told
        f.told["environment"] = {key: os.environ.get(key) for key in ("SETTINGS_ROOT", "SHARED", "HOME")}
        if wid.params.need:
            f.need = self.config.get("settings", wid.params.need)
        f.settings = {}
        for key, value in wid.params.as_dict().items():
            if key.startswith("set_"):
                setattr(f.settings, key[4:], value)
        f.settings.nested = f.settings.nested or {}
        f.settings.nested.list = [f.settings.nested]
        del f.settings.nested.list[:]
        f.settings.nested.list += list(f.settings)
        if "drop" in wid.params:
            del f.settings["nested"]
        wid.result = True
