from RuoteAMQP.launcher import Launcher as Launcher
from RuoteAMQP.participant import Participant as Participant
from RuoteAMQP.workitem import DictAttrProxy as DictAttrProxy
from RuoteAMQP.workitem import FlowExpressionId as FlowExpressionId
from RuoteAMQP.workitem import Workitem as Workitem

__all__ = ["DictAttrProxy", "FlowExpressionId", "Launcher", "Participant", "Workitem"]
