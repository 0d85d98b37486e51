from typing import Any, Dict, Optional, Union

from RuoteAMQP.fei import FlowExpressionId as FlowExpressionId
from RuoteAMQP.proxy import DictAttrProxy as DictAttrProxy

__all__ = ["DictAttrProxy", "FlowExpressionId", "Workitem"]

class Workitem:
    cancelled: bool
    redelivered: bool
    attempt: int
    fields: Any
    params: Any
    result: Any
    error: Any
    trace: Any
    forget: bool
    fei: FlowExpressionId
    sid: str
    wfid: Optional[str]
    wf_name: Optional[str]
    participant_name: Optional[str]
    dispatched_at: Optional[str]
    timed_out: Any
    is_cancel: bool
    def __init__(self, msg: Union[str, bytes, bytearray, Dict[str, Any], None] = None) -> None: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __hash__(self) -> int: ...
    def lookup(self, key: str, container_lookup: bool = False) -> Any: ...
    def lf(self, key: str, container_lookup: bool = False) -> Any: ...
    def set_field(self, key: str, value: Any) -> None: ...
    def to_h(self) -> Dict[str, Any]: ...
    def dup(self) -> Workitem: ...
    def dump(self) -> str: ...
    def progress(self, fraction: Optional[float], text: str = "") -> None: ...
