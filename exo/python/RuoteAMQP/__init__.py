"""Workitems of the ruote engine over AMQP, as participants know them."""

from RuoteAMQP.participant import Participant
from RuoteAMQP.workitem import DictAttrProxy, FlowExpressionId, Workitem

__all__ = ["DictAttrProxy", "FlowExpressionId", "Participant", "Workitem"]
