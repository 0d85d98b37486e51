#!/usr/bin/python3
"""Checks that every submitted action goes to a repository that is known.

:term:`Workitem` fields IN: ev.actions(list); fields OUT: msg(list), result(bool), checks(dict)
"""

from collections import defaultdict
from functools import wraps


class Check(object):
    """Decorator: skips or warns as the workitem's package configuration says."""

    def __init__(self, name):
        self.name = name

    def __call__(self, func):
        @wraps(func)
        def wrapper(handler, action, wid, *args):
            conf = None
            if wid.fields.package_conf:
                conf = getattr(wid.fields.package_conf, action['package'])
            level = conf.checks.as_dict().get(self.name) if conf and conf.checks else None
            if level == "skip":
                return True, "%s skipped" % self.name
            ok, msg = func(handler, action, wid, *args)
            if not ok:
                if level == "warn":
                    wid.fields.msg.append("Warning: %s" % msg)
                    return True, msg
                wid.fields.msg.append(msg)
            return ok, msg
        return wrapper


class ParticipantHandler(object):

    """ Participant class as defined by the SkyNET API """

    def __init__(self):
        self.repos = None

    def handle_wi_control(self, ctrl):
        """ job control thread """
        pass

    def handle_lifecycle_control(self, ctrl):
        """ participant control thread """
        if ctrl.message == "start":
            if ctrl.config.has_option("obs", "repos"):
                self.repos = [r.strip() for r in ctrl.config.get("obs", "repos").split(",") if r.strip()]

    @Check("check_has_valid_repo")
    def check_target_repo(self, action, wid):
        if action.get("targetproject") in self.repos:
            return True, None
        return False, "%(package)s goes to %(targetproject)s, which has no repository" % action

    def handle_wi(self, wid):
        """ actual job thread """
        wid.result = False
        if not wid.fields.msg:
            wid.fields.msg = []
        actions = wid.fields.ev.actions
        if not actions:
            raise RuntimeError("Mandatory field ev.actions missing.")
        seen = defaultdict(list)
        result = True
        for action in actions:
            ok, _ = self.check_target_repo(action, wid)
            seen[action["type"]].append(ok)
            result = ok and result
        wid.fields.checks = seen
        wid.fields.result_names = sorted(wid.fields.checks.keys())
        if not result:
            wid.fields.status = "FAILED"
        wid.result = result
