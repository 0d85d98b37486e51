from RuoteAMQP.workitem import Workitem as Workitem
from SkyNET.Control import Cancelled as Cancelled
from SkyNET.Control import ParticipantCtrl as ParticipantCtrl
from SkyNET.Control import WorkItemCtrl as WorkItemCtrl
from SkyNET.Exo import Exo as Exo

__all__ = ["Cancelled", "Exo", "ParticipantCtrl", "WorkItemCtrl", "Workitem"]
