from typing import Any, Callable, Dict, Optional, Tuple, Union

from RuoteAMQP.proxy import DictAttrProxy
from RuoteAMQP.workitem import Workitem

class Launcher:
    host: str
    user: str
    pw: str
    vhost: str
    conn: Any
    chan: Any
    def __init__(
        self,
        amqp_host: str = "localhost",
        amqp_user: str = "boss",
        amqp_pass: str = "boss",
        amqp_vhost: str = "boss",
        conn: Optional[Any] = None,
    ) -> None: ...
    def launch(
        self,
        process: str,
        fields: Union[Dict[str, Any], DictAttrProxy, None] = None,
        variables: Union[Dict[str, Any], DictAttrProxy, None] = None,
    ) -> None: ...
    def resume(self, workitem: Optional[Workitem] = None, msg: Union[str, bytes, None] = None) -> None: ...

def own(account: Tuple[str, str, str, str], publish: Callable[[bytes], None]) -> None: ...
