#!/usr/bin/python3
"""Holds workitems back until they are released, and over its own restarts: it forgets them, and sends them later."""

import os
import shelve
import threading

from RuoteAMQP import Launcher
from RuoteAMQP.workitem import Workitem, FlowExpressionId
from SkyNET.Control import ParticipantCtrl, WorkItemCtrl


class ParticipantHandler(object):

    def __init__(self):
        self.held, self.cancelled, self.lock = [], set(), threading.RLock()
        self.store = self.launcher = None

    def handle_lifecycle_control(self, ctrl):
        assert isinstance(ctrl, ParticipantCtrl), ctrl
        if ctrl.message == "start":
            self.launcher = Launcher(amqp_host=ctrl.config.get("boss", "amqp_host"),
                                     amqp_user=ctrl.config.get("boss", "amqp_user"),
                                     amqp_pass=ctrl.config.get("boss", "amqp_pwd"),
                                     amqp_vhost=ctrl.config.get("boss", "amqp_vhost"))
            self.store = os.path.join(ctrl.config.get("hold", "folder"), "held")
            kept = shelve.open(self.store)
            self.held = [Workitem(text) for text in kept.get("held", [])]
            kept.close()
            for wid in self.held:
                again = wid.dup()
                again.fields.note = "again"
                again.fei.to_h()["subid"] = "note"
                self.send_to_engine(again)
        elif ctrl.message == "stop":
            kept = shelve.open(self.store)
            kept["held"] = [wid.dump() for wid in self.held]
            kept.close()
            # Whoever waits is told.
            self.launcher.launch("Ruote.process_definition do told end", fields={"held": len(self.held)}, variables={"v": None})
            for wid in self.held:
                note = Workitem(wid.dump())
                note.fei.to_h()["subid"] = "note"
                note.fields.note = "kept"
                self.send_to_engine(note)

    def handle_wi_control(self, ctrl):
        assert isinstance(ctrl, WorkItemCtrl), ctrl
        if ctrl.message == "cancel":
            with self.lock:
                self.cancelled.add(ctrl.wid.sid)

    def handle_wi(self, wid):
        with self.lock:
            if wid.params.action == "release":
                self.release(wid)
            elif wid.params.action == "count":
                wid.fields.held = len(self.held)
            else:
                wid.fields.held_as = wid.sid
                self.held.append(wid)
                wid.forget = True
        wid.fields.same = wid.fei == FlowExpressionId(wid.to_h()["fei"])

    def release(self, wid):
        kept = []
        for held in self.held:
            if held.fields.project != wid.fields.project or held.sid in self.cancelled:
                kept.append(held)
                continue
            held.params.forget = False
            held.fields.released_by = wid.fei.wfid
            held.result = True
            self.send_to_engine(held)
        wid.fields.released = len(self.held) - len(kept)
        self.held = kept
