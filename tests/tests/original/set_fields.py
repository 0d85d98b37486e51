#!/usr/bin/python3
"""Sets fields by the names and values of its parameters."""

import logging

import RuoteAMQP
from RuoteAMQP import Workitem, Participant, FlowExpressionId, Launcher
from SkyNET.Control import WorkItemCtrl

log = logging.getLogger("set_fields.module")


class BaseParticipant(object):
    """What participants share."""

    def handle_wi_control(self, ctrl):
        pass

    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == "start":
            self.setup(ctrl)

    @classmethod
    def assert_mandatory_parameter(cls, wid, param):
        if param not in wid.params.as_dict() or wid.params.as_dict()[param] is None:
            raise RuntimeError("Mandatory parameter: ':%s' not provided" % param)
        return wid.params.as_dict()[param]


class ParticipantHandler(BaseParticipant):

    def setup(self, ctrl):
        # All of this participant's own sections.
        self.defaults = {}
        for section in ctrl.config.sections():
            if section.startswith("defaults"):
                self.defaults.update(dict(ctrl.config.items(section)))
        self.extra = ctrl.config.getboolean("flags", "extra") if ctrl.config.has_section("flags") else False

    def handle_wi(self, wid):
        name = self.assert_mandatory_parameter(wid, "name")
        f = wid.fields
        for key in list(wid.params):
            if key not in ("ref", "name"):
                setattr(f, key, getattr(wid.params, key))
        for key, value in list(self.defaults.items()):
            if getattr(f, key) is None:
                setattr(f, key, value)
        if not f.items:
            f.items = {"get": []}
        f.items.get.append(name)
        f.fei_text = "%s %s" % (wid.fei["expid"], wid.sid)
        f.same = isinstance(wid, Workitem) and Workitem is RuoteAMQP.workitem.Workitem
        f.instance = isinstance(wid.fei, FlowExpressionId) and not isinstance(wid, Participant)
        f.missing = [wid.fields.never, wid.params.never, wid.error, wid.timed_out]
        wid.anything = Launcher
        log.warn("set %d fields of %s", len(list(f)), wid.wf_name)
        self.log.debug("extra %s", self.extra)
