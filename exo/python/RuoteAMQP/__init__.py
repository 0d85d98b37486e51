"""Workitems of the ruote engine over AMQP, as participants know them, and the launcher of processes."""

from RuoteAMQP.launcher import Launcher
from RuoteAMQP.participant import Participant
from RuoteAMQP.workitem import DictAttrProxy, FlowExpressionId, Workitem

__all__ = ["DictAttrProxy", "FlowExpressionId", "Launcher", "Participant", "Workitem"]
