"""What a participant's author needs.

    from SkyNET import Workitem

    class ParticipantHandler(object):
        def handle_wi(self, wid):
            wid.fields.size = len(wid.fields.text)

handle_wi gets a Workitem and changes its fields; its return value is ignored. Optional: handle_wi_control(ctrl),
handle_lifecycle_control(ctrl) with ctrl.message "start" (and ctrl.config), "stop" or "die". self.log is a logger;
self.send_to_engine(wid) sends a workitem now.
"""

from RuoteAMQP.workitem import Workitem
from SkyNET.Control import ParticipantCtrl, WorkItemCtrl

__all__ = ["ParticipantCtrl", "WorkItemCtrl", "Workitem"]
