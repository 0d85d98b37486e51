import logging
from configparser import ConfigParser
from types import ModuleType
from typing import Any, Mapping, Union

from RuoteAMQP.workitem import Workitem
from SkyNET.Control import ParticipantCtrl as ParticipantCtrl
from SkyNET.Control import WorkItemCtrl as WorkItemCtrl

class Exo:
    handler: Any
    name: str
    queue: str
    log: logging.Logger
    def __init__(self, settings: Mapping[str, Any], log: logging.Logger) -> None: ...
    @property
    def config(self) -> ConfigParser: ...
    def make_handler(self, module: ModuleType) -> Any: ...
    def consume(self, wid: Workitem) -> None: ...
    def on_error(self, wid: Workitem, error: BaseException) -> None: ...
    def on_control(self, ctrl: Union[WorkItemCtrl, ParticipantCtrl]) -> Any: ...

__all__ = ["Exo", "ParticipantCtrl", "WorkItemCtrl"]
