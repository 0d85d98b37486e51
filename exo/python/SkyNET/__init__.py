"""What a participant's author needs.

    from SkyNET import Workitem

    class ParticipantHandler(object):
        def handle_wi(self, wid):
            wid.fields.size = len(wid.fields.text)

SkyNET makes one ParticipantHandler and gives it workitems, one at a time. handle_wi(wid) gets a Workitem and changes
its fields; its return value is ignored; an exception becomes an error of the process. wid.params is what the process
definition gave, wid.result what its `if` asks; wid.forget = True sends no reply. self.log is a logger;
self.send_to_engine(wid) sends a workitem now, before the reply; RuoteAMQP.Launcher starts processes.

Optional methods of the handler:

    handle_lifecycle_control(ctrl)  ctrl.message is "start" (ctrl.config is a ConfigParser), "stop" or "die"
    handle_wi_control(ctrl)         ctrl.message is "status" or "cancel", ctrl.wid the workitem
    status(wid)                     returns how the work stands, a text or a dict
    cancel(wid)                     stops the work on it as soon as it can

The last three are called on a thread beside the one that works. wid.cancelled, wid.redelivered, wid.attempt and
wid.progress(fraction, text) are there as well.

A handler is tested without SkyNET: handler.handle_wi(Workitem({"fields": {"text": "hello"}})).
"""

from RuoteAMQP.workitem import Workitem
from SkyNET.Control import Cancelled, ParticipantCtrl, WorkItemCtrl
from SkyNET.Exo import Exo

__all__ = ["Cancelled", "Exo", "ParticipantCtrl", "WorkItemCtrl", "Workitem"]
