#!/usr/bin/python3
"""Sends a workitem of its own for each part of a batch, and lets the batch wait until all have been seen."""

import json

from SkyNET import (WorkItemCtrl, ParticipantCtrl, Workitem)
from RuoteAMQP.workitem import DictAttrProxy as dap


class WorkQueue(object):
    """Those who wait, by their project. Survives from workitem to workitem."""

    def __init__(self):
        self.waiting = {}

    def add(self, project, wid):
        first = project not in self.waiting
        self.waiting.setdefault(project, []).append(wid)
        return first

    def release(self, project):
        queue = self.waiting[project]
        queue.pop(0)
        return queue[0] if queue else None


class ParticipantHandler(object):

    def __init__(self):
        self.queue = WorkQueue()

    def handle_wi_control(self, ctrl):
        assert isinstance(ctrl, WorkItemCtrl)

    def handle_lifecycle_control(self, ctrl):
        assert isinstance(ctrl, (WorkItemCtrl, ParticipantCtrl))

    # Replaced by SkyNET: here for those who run it by hand.
    def send_to_engine(self, wid):
        print("would send", wid.dump())

    def handle_wi(self, wid):
        project = wid.fields.project
        if wid.params.action == "release":
            following = self.queue.release(project)
            if following is not None:
                following.fields.turn = "yours"
                self.send_to_engine(following)
            wid.result = following is not None
            return
        if wid.params.action == "split":
            for number, part in enumerate(dap(wid.fields.as_dict()).batch.parts):
                child = Workitem(json.dumps(wid.to_h()))
                child.fields.part = dap({"name": part, "number": number})
                child.to_h()["fei"]["subid"] = "%s%d" % (wid.fei.subid, number)
                self.send_to_engine(child)
            wid.fields.batch.done = True
            return
        if self.queue.add(project, wid.dup()):
            wid.fields.turn = "first"
        else:
            # Answered when its turn comes.
            wid.forget = True
