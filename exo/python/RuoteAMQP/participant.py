"""The base class that participants of the original derived from. exo does all its work."""

from RuoteAMQP.workitem import Workitem

__all__ = ["Participant", "Workitem"]  # Workitem could always be had from here, too


class Participant(object):
    """For code that only imports it, or derives from it to have `workitem`. It opens no connection."""

    workitem = None

    def __init__(self, ruote_queue=None, amqp_host="localhost", amqp_user="ruote", amqp_pass="ruote",
                 amqp_vhost="ruote"):
        self._queue = ruote_queue

    def consume(self, workitem=None):
        """The work on `workitem`: for a subclass to write."""
