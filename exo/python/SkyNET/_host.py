"""Hosts a participant's handler: loads it, hands it workitems, and turns what it does into replies.

Called by the extension module only. What a handler raises never leaves `Host.handle`.
"""

import configparser
import importlib.util
import json
import os
import sys
import traceback
import urllib.parse

from RuoteAMQP.workitem import Workitem
from SkyNET import _log
from SkyNET.Control import ParticipantCtrl


class Fatal(Exception):
    """The handler cannot be used."""

    def __init__(self, message, trace=""):
        Exception.__init__(self, message)
        self.message, self.traceback = message, trace


def load(settings_json):
    """Loads, constructs and starts the handler that the settings name."""
    settings = json.loads(settings_json)
    log = _log.install(settings["name"])
    module = _import(settings["code"])
    cls = getattr(module, "ParticipantHandler", None)
    if cls is None:
        raise Fatal("%s has no class ParticipantHandler" % settings["code"])
    if not callable(getattr(cls, "handle_wi", None)):
        raise Fatal("ParticipantHandler in %s has no method handle_wi" % settings["code"])
    try:
        handler = cls()
    except BaseException as e:
        raise _fatal("cannot construct ParticipantHandler", e, settings["code"])
    handler.log = log
    host = Host(handler, settings)
    ctrl = ParticipantCtrl("start")
    ctrl.config = _config(settings)
    try:
        host.control(ctrl)
    except BaseException as e:
        raise _fatal('ParticipantHandler refused "start"', e, settings["code"])
    return host


def _import(path):
    if not os.path.isfile(path):
        raise Fatal("there is no handler file %s" % path)
    stem = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec = importlib.util.spec_from_file_location(stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        spec.loader.exec_module(module)
    except BaseException as e:
        raise _fatal("cannot import the handler", e, path)
    return module


def _fatal(what, e, path):
    """One line with class, text, file and line; the traceback from the handler's first frame on."""
    if isinstance(e, SyntaxError):
        place = "%s:%s" % (e.filename or path, e.lineno)
        text = e.msg
    else:
        frames = traceback.extract_tb(e.__traceback__)
        last = frames[-1] if frames else None
        place = "%s:%s" % (last.filename, last.lineno) if last else path
        text = str(e)
    trace = "".join(traceback.format_exception(type(e), e, _own_frames(e)))
    return Fatal("%s: %s: %s (%s)" % (what, type(e).__name__, text, place), trace)


def _own_frames(e):
    """The traceback without the frames of this file and of the import machinery."""
    tb = e.__traceback__
    while tb is not None and (tb.tb_frame.f_code.co_filename == __file__ or "importlib" in tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _config(settings):
    """What ctrl.config of "start" is: a ConfigParser of the handler's own."""
    config = configparser.ConfigParser(strict=False)
    url = urllib.parse.urlsplit(settings["amqp"][0])
    sections = {"boss": {
        "amqp_host": "%s:%d" % (url.hostname or "127.0.0.1", url.port or (5671 if url.scheme == "amqps" else 5672)),
        "amqp_user": urllib.parse.unquote(url.username or "guest"),
        "amqp_pwd": urllib.parse.unquote(url.password or "guest"),
        "amqp_vhost": urllib.parse.unquote(url.path[1:]) or "/",
    }, "participant": {key: settings[key] for key in ("name", "queue", "regexp")}}
    for name, table in settings.get("sections", {}).items():
        sections.setdefault(name, {}).update(table)
    for name, table in sections.items():
        if not config.has_section(name) and name != configparser.DEFAULTSECT:
            config.add_section(name)
        for key, value in table.items():
            text = value if isinstance(value, str) else json.dumps(value)
            config.set(name, key, text.replace("%", "%%"))
    return config


class Host(object):
    """A loaded handler."""

    def __init__(self, handler, settings):
        self._handler = handler
        self._error_class = settings["error_class"]
        self._publish = None
        handler.send_to_engine = self._send_to_engine

    def set_publisher(self, publish):
        """`publish(body)` returns when the broker has the message."""
        self._publish = publish

    def _send_to_engine(self, wid):
        if self._publish is None:
            raise RuntimeError("send_to_engine works from the first workitem on")
        self._publish(_dumps(wid.to_h()))

    def control(self, ctrl):
        """Tells the handler of its life, if it wants to know."""
        method = getattr(self._handler, "handle_lifecycle_control", None)
        if callable(method):
            method(ctrl)

    def lifecycle(self, message):
        """Like `control`, when nothing can be done about a handler that raises."""
        try:
            self.control(ParticipantCtrl(message))
        except BaseException:
            self._handler.log.exception("handle_lifecycle_control raised on %r", message)

    def handle(self, body, redelivered, attempt):
        """Hands a workitem to the handler: (kind, reply, error), kind "reply", "forget" or "error"."""
        try:
            wid = Workitem(body)
        except BaseException as e:
            return ("error", None, self._error(e))
        wid.redelivered, wid.attempt = redelivered, attempt
        with _log.about(wid.wfid):
            try:
                if wid.trace:
                    self._handler.log.info("workitem %s for %s: fields %s", wid.sid, wid.participant_name,
                                           ", ".join(sorted(map(str, wid.fields))))
                if wid.fields.debug_dump or wid.params.debug_dump:
                    self._handler.log.info("%s", wid.dump())
                self._handler.handle_wi(wid)
                if wid.forget:
                    return ("forget", None, None)
                return ("reply", _dumps(wid.to_h()), None)
            except BaseException as e:
                error = self._error(e)
            try:
                return ("error", _dumps(wid.to_h()), error)
            except BaseException:
                return ("error", None, error)

    def _error(self, e):
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
            tb = tb.tb_next
        trace = ["%s:%d: in `%s'" % (f.filename, f.lineno, f.name) for f in traceback.extract_tb(tb)]
        whole = "".join(traceback.format_exception(type(e), e, tb))
        return {"class": self._error_class, "message": _message(e), "trace": trace,
                "traceback": whole.encode("utf-8", "backslashreplace").decode()}


def _message(e):
    name = type(e).__name__
    if name == "HTTPError" and hasattr(e, "code"):
        return "HTTPError: %s %s" % (e.code, getattr(e, "url", None) or e.geturl())
    if isinstance(e, OSError) and e.errno is not None:
        path = "%s " % (e.filename,) if e.filename is not None else ""
        return "%s(%s): %s%s" % (name, e.errno, path, e.strerror)
    text = e.msg if isinstance(getattr(e, "msg", None), str) else str(e)
    return "%s: %s" % (name, text)


def _dumps(value):
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as e:
        path = _find_bad(value, "")
        raise type(e)("%s is not JSON: %s" % (path, e) if path else str(e)) from None


def _find_bad(value, path):
    """The path of the first value that JSON has no form for."""
    if value is None or isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else path
    if isinstance(value, dict):
        children = (("%s.%s" % (path, key) if path else str(key), child) for key, child in value.items())
    elif isinstance(value, (list, tuple)):
        children = (("%s[%d]" % (path, i), child) for i, child in enumerate(value))
    else:
        return path
    try:
        return next(filter(None, (_find_bad(child, place) for place, child in children)), None)
    except RecursionError:
        return path
