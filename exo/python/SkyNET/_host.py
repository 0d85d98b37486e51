"""Hosts a participant's handler: loads it, hands it workitems, and turns what it does into replies.

Called by the extension module only. What a handler raises never leaves `Host.handle`.
"""

import configparser
import importlib.machinery
import importlib.util
import json
import os
import sys
import traceback
import urllib.parse

from RuoteAMQP.workitem import DictAttrProxy, Workitem, jsonable
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
    code = settings["code"]
    module = _import(code)
    cls = getattr(module, "ParticipantHandler", None)
    if cls is None:
        raise Fatal("%s has no class ParticipantHandler" % code)
    if not callable(getattr(cls, "handle_wi", None)):
        raise Fatal("ParticipantHandler in %s has no method handle_wi" % code)
    try:
        handler = cls()
        handler.log = log
        host = Host(handler, settings)
    except BaseException as e:
        raise _fatal("cannot construct ParticipantHandler", e, code)
    ctrl = ParticipantCtrl("start")
    ctrl.config = _config(settings)
    try:
        host.control(ctrl)
    except BaseException as e:
        raise _fatal('ParticipantHandler refused "start"', e, code)
    return host


def _import(path):
    if not os.path.isfile(path):
        raise Fatal("there is no handler file %s" % path)
    stem = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(path))
    try:
        # Named here, so that a file of any name is Python's.
        loader = importlib.machinery.SourceFileLoader(stem, path)
        spec = importlib.util.spec_from_file_location(stem, path, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        loader.exec_module(module)
    except BaseException as e:
        raise _fatal("cannot import the handler", e, path)
    return module


def _fatal(what, e, path):
    """One line with class, text, file and line; the traceback from the handler's first frame on."""
    text, place = _text(e), path
    tb = _without_ours(e.__traceback__)
    frames = traceback.extract_tb(tb)
    if isinstance(e, SyntaxError):
        text, place = e.msg, "%s:%s" % (e.filename or path, e.lineno)
    elif frames:
        # Where the handler's own file stood; what it called is in the traceback.
        frame = [frame for frame in frames if frame.filename == path][-1:] or frames[-1:]
        place = "%s:%s" % (frame[0].filename, frame[0].lineno)
    line = "%s: %s: %s (%s)" % (what, type(e).__name__, " ".join(str(text).split()), place)
    return Fatal(_clean(line), _traceback(e, tb))


def _without_ours(tb):
    """The traceback without our frames and those of the import machinery that lead to the handler's."""
    while tb is not None and (tb.tb_frame.f_code.co_filename == __file__ or
                              "importlib" in tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _traceback(e, tb):
    return _clean("".join(traceback.format_exception(type(e), e, tb)))


def _clean(text):
    """The text without what UTF-8 has no form for, as file names may have."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Config(configparser.ConfigParser):
    """A ConfigParser whose `get` takes raw and vars by position too, as handlers of Python 2 gave them."""

    def get(self, section, option, raw=False, vars=None, **more):
        return configparser.ConfigParser.get(self, section, option, raw=raw, vars=vars, **more)


def _config(settings):
    """What ctrl.config of "start" is: a ConfigParser of the handler's own."""
    config = _Config(strict=False)
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
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
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
        if not isinstance(wid, Workitem):
            raise TypeError("send_to_engine takes a Workitem, not %s" % type(wid).__name__)
        self._publish(_body(wid))

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
                self._announce(wid)
                self._handler.handle_wi(wid)
                if wid.forget:
                    return ("forget", None, None)
                return ("reply", _body(wid), None)
            except BaseException as e:
                error = self._error(e)
            try:
                return ("error", _body(wid), error)
            except BaseException:
                return ("error", None, error)

    def _announce(self, wid):
        if wid.trace:
            self._handler.log.info("workitem %s for %s: fields %s", wid.sid, wid.participant_name,
                                   ", ".join(sorted(wid.fields)))
        if wid.fields.debug_dump or wid.params.debug_dump:
            self._handler.log.info("%s", wid.dump())

    def _error(self, e):
        tb = _without_ours(e.__traceback__)
        trace = [_clean("%s:%d: in `%s'" % (f.filename, f.lineno, f.name)) for f in traceback.extract_tb(tb)]
        return {"class": self._error_class, "message": _clean(_message(e)), "trace": trace,
                "traceback": _traceback(e, tb)}


def _message(e):
    name = type(e).__name__
    try:
        # By its name: whoever raises urllib's has imported it, nobody else needs to.
        if hasattr(e, "code") and any(cls.__name__ == "HTTPError" for cls in type(e).__mro__):
            return "HTTPError: %s %s" % (e.code, e.filename)
        if isinstance(e, OSError) and e.errno is not None:
            path = "%s " % (e.filename,) if e.filename is not None else ""
            return "%s(%s): %s%s" % (name, e.errno, path, e.strerror)
        if isinstance(getattr(e, "msg", None), str):
            return "%s: %s" % (name, e.msg)
    except Exception:
        pass  # an exception that cannot tell its own parts may still have a text
    return "%s: %s" % (name, _text(e))


def _text(e):
    try:
        return str(e)
    except Exception as again:
        return "(its text raises %s)" % type(again).__name__


def _body(wid):
    """What is sent. An empty error is left out: it is true in Ruby, and would fail the process."""
    workitem = wid.to_h()
    if workitem.get("error", True) is not None and not workitem.get("error", True):
        workitem = {key: value for key, value in workitem.items() if key != "error"}
    return _dumps(workitem)


def _dumps(value):
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=jsonable).encode("ascii")
    except (TypeError, ValueError) as e:
        path = _find_bad(value, "", ())
        again = TypeError if isinstance(e, TypeError) else ValueError
        raise again("%s is not JSON: %s" % (path, e) if path else str(e)) from None


def _find_bad(value, path, within):
    """The path of the first value that JSON has no form for; `within` are the values that hold it."""
    if isinstance(value, DictAttrProxy):
        value = value.as_dict()
    if value is None or isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else path
    if any(value is one for one in within):
        return path
    if isinstance(value, dict):
        odd = [key for key in value if not (key is None or isinstance(key, (str, int, float)))]
        if odd:
            return "%s[%r]" % (path, odd[0])
        children = (("%s.%s" % (path, key) if path else str(key), child) for key, child in value.items())
    elif isinstance(value, (list, tuple)):
        children = (("%s[%d]" % (path, i), child) for i, child in enumerate(value))
    else:
        return path
    within += (value,)
    return next(filter(None, (_find_bad(child, place, within) for place, child in children)), None)
