from typing import Any, Optional

from RuoteAMQP.workitem import Workitem

class Participant:
    workitem: Optional[Workitem]
    def __init__(
        self,
        ruote_queue: Optional[str] = None,
        amqp_host: str = "localhost",
        amqp_user: str = "ruote",
        amqp_pass: str = "ruote",
        amqp_vhost: str = "ruote",
    ) -> None: ...
    def consume(self, workitem: Any = None) -> Any: ...
