"""Starts processes in the engine, and sends it workitems that were kept."""

from RuoteAMQP import numbers
from RuoteAMQP.proxy import bare
from RuoteAMQP.workitem import Workitem

_QUEUE = "ruote_workitems"


class _Own(object):
    """The connection of the participant that this process is, if it is one; told by SkyNET."""

    account = None
    publish = None


def own(account, publish):
    """Launchers to `account` (host:port, user, password, vhost) from now on send by `publish(body)`."""
    _Own.account, _Own.publish = account, publish


def _host(text):
    """HOST:PORT; the port is AMQP's where none is named."""
    text = str(text)
    head, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (":" not in head or head.endswith("]")):
        return text
    return "%s:5672" % ("[%s]" % text if ":" in text and not text.startswith("[") else text)


class _Closed(object):
    """In the place of a connection of its own: there is nothing to close, each message finds its way."""

    def close(self):
        """Does nothing."""


class Launcher(object):
    """Launches processes: `Launcher(host, user, password, vhost).launch(definition, {"field": 1})`.

    Within a participant and to the participant's own broker, messages go by the participant's connection, which
    survives idle hours and broken lines; else each message has a connection of its own. A message is persistent,
    and the broker has it when the call returns. `conn` may be a connection of pika's, which is used then.
    """

    def __init__(self, amqp_host="localhost", amqp_user="boss", amqp_pass="boss", amqp_vhost="boss", conn=None):
        self.host, self.user, self.pw, self.vhost = amqp_host, amqp_user, amqp_pass, amqp_vhost
        self.conn = _Closed() if conn is None else conn
        self.chan = _Closed() if conn is None else conn.channel()

    def launch(self, process, fields=None, variables=None):
        """Starts a process: its definition as text, its first fields and variables as dicts."""
        fields, variables = bare(fields), bare(variables)
        for name, value in (("fields", fields), ("variables", variables)):
            if value is not None and not isinstance(value, dict):
                raise TypeError("%s are a dict, not %s" % (name, type(value).__name__))
        self._send(numbers.dumps({"definition": process, "fields": fields, "variables": variables}))

    def resume(self, workitem=None, msg=None):
        """Sends a workitem that was kept, or its text, back to the engine."""
        if workitem is not None:
            msg = workitem
        if msg is None:
            raise ValueError("resume needs a workitem or msg, the text of one")
        if isinstance(msg, Workitem):
            msg = numbers.dumps(msg.to_h(), msg._spelled)
        self._send(msg)

    def _send(self, body):
        body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        if not isinstance(self.chan, _Closed):
            import pika
            self.chan.basic_publish("", _QUEUE, body, pika.BasicProperties(content_type="text/plain", delivery_mode=2))
            return
        account = (_host(self.host), self.user, self.pw, self.vhost)
        if _Own.publish is not None and _Own.account == account:
            _Own.publish(body)
            return
        try:
            from _skynet import send
        except ImportError:
            raise RuntimeError("there is no connection: give conn, a connection of pika's, or run where SkyNET is "
                               "installed") from None
        send(*account, _QUEUE, body)
