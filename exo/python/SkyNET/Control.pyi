from configparser import ConfigParser
from typing import Any, Optional

from RuoteAMQP.workitem import Workitem

class _Ctrl:
    message: Optional[str]
    def __init__(self, msg: Optional[str] = None) -> None: ...
    def start(self) -> bool: ...
    def stop(self) -> bool: ...
    def die(self) -> bool: ...

class WorkItemCtrl(_Ctrl):
    wid: Workitem
    config: Any

class ParticipantCtrl(_Ctrl):
    config: ConfigParser
    wid: Any

class Cancelled(BaseException): ...
