"""Hosts a participant's handler: hands it workitems and messages, and turns what it does into replies.

Called by the extension module only. What a handler raises never leaves these methods.
"""

import json
import os
import signal
import sys
import threading

from RuoteAMQP import launcher
from RuoteAMQP.workitem import Workitem
from SkyNET import _address, _errors, _load, _log, _reply
from SkyNET.Control import Cancelled, ParticipantCtrl, WorkItemCtrl


def load(settings_json, fault=None, publish=None):
    """Loads, constructs and starts the handler that the settings name. `fault` is the descriptor for what is said of a
    fault that ends the process, `publish` the way of messages that are sent in "start"."""
    pid = os.getpid()
    try:
        host = _load_host(settings_json, fault, publish)
    except BaseException as e:
        if os.getpid() != pid:
            _leave(e.__context__ or e)
        raise
    if os.getpid() != pid:
        _leave(None)
    return host


def _load_host(settings_json, fault, publish):
    settings = json.loads(settings_json)
    log = _log.install(settings["name"], settings.get("log_format") == "json", settings.get("log_level"), fault)
    exo = _load.exoskeleton(settings, log)
    try:
        host = Host(exo, settings)
    except BaseException as e:
        raise _errors.fatal("cannot construct ParticipantHandler", e, settings["code"])
    if publish is not None:
        host.set_publisher(publish)
    ctrl = ParticipantCtrl("start")
    ctrl.make_config = lambda: exo.config
    try:
        exo.on_control(ctrl)
    except BaseException as e:
        raise _errors.fatal('ParticipantHandler refused "start"', e, settings["code"])
    if _free_signals():
        host.signals_replaced([])
    signal.signal(_WAKE, _woken)
    return host


#: Wakes the main thread where it waits in a system call; nobody else uses it.
_WAKE = signal.SIGRTMAX - 1
#: What is to be raised in the main thread.
_PENDING = []


def _woken(*_):
    pending = _PENDING[:]
    del _PENDING[:]
    if pending:
        raise pending[0]


def _free_signals():
    """Makes way for our own signal handlers; whether the handler's module had installed some."""
    replaced = False
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        here = signal.getsignal(number)
        replaced = replaced or (callable(here) and here is not signal.default_int_handler)
        signal.signal(number, signal.SIG_DFL)
    return replaced


class _InHand(object):
    """A workitem that a thread works on, and what that thread has been told to stop for."""

    def __init__(self, wid):
        self.wid, self.thread, self.forced = wid, threading.get_ident(), None


class Host(object):
    """A loaded handler."""

    def __init__(self, exo, settings):
        self._exo, self._handler = exo, exo.handler
        self._settings, self._error_class = settings, settings["error_class"]
        self._publish = self._progress = None
        self._in_hand, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        self._told_of_signals = False
        self._handler.send_to_engine = self._send_to_engine

    def set_publisher(self, publish):
        """`publish(body)` returns when the broker has the message."""
        self._publish = publish
        boss = _address.boss(self._settings["amqp"][0])
        launcher.own(tuple(boss[key] for key in ("amqp_host", "amqp_user", "amqp_pwd", "amqp_vhost")), self._send)

    def set_progress(self, progress):
        """`progress(id, fraction, text)` is told how far the work on a workitem has got."""
        self._progress = progress

    def set_keeper(self, keep):
        """`keep(id, level, bytes)` keeps what is said for a workitem in hand."""
        _log.keep(keep)

    def set_writer(self, write):
        """`write(value)` gives the JSON of a workitem, or None where that is unusual."""
        _reply.write = write

    def versions(self):
        """What the handler runs on: the interpreter, and the packages it has imported that say their version."""
        found = {"python": "%s, %s" % (sys.version.split()[0], sys.executable)}
        for name, module in list(sys.modules.items()):
            about = getattr(module, "__dict__", {})
            version, place = about.get("__version__"), about.get("__file__")
            if "." not in name and isinstance(version, str) and "-packages" in str(place):
                found[name] = _errors.clean(version)
        return found

    def _send(self, body):
        if self._publish is None:
            raise RuntimeError("send_to_engine works within SkyNET only, from \"start\" on")
        if os.getpid() != self._pid:
            raise RuntimeError("messages go by the participant's own process, not by one that it forked")
        self._publish(body)

    def _send_to_engine(self, wid):
        if not isinstance(wid, Workitem):
            raise TypeError("send_to_engine takes a Workitem, not %s" % type(wid).__name__)
        self._send(_reply.body(wid))

    def signals_replaced(self, numbers):
        """Says once that signals are exo's own."""
        if not self._told_of_signals:
            self._told_of_signals = True
            self._exo.log.warning("the handler's own signal handlers for TERM, HUP, USR1 or INT are not used: these are "
                                  "exo's, and \"stop\" tells the handler of the end")

    def lifecycle(self, message):
        """Tells the handler of its life: "stop" or "die"."""
        try:
            self._exo.on_control(ParticipantCtrl(message))
        except BaseException:
            self._exo.log.exception("handle_lifecycle_control raised on %r", message)
        _log.flush()

    def status(self, id):
        """What the handler says about a workitem in hand, as JSON: {"status": ..., "progress": [fraction, text]}, either
        of them null; None where it is not in hand. May take as long as the handler likes."""
        here = self._in_hand.get(id)
        if here is None:
            return None
        said = self._control("status", id, here.wid)
        progress = here.wid.__dict__.get("_progress")
        progress = progress and (progress[0], _errors.clean(progress[1]))
        try:
            text = json.dumps({"status": said, "progress": progress}, allow_nan=False, ensure_ascii=False)
            text.encode()  # half of a pair of surrogates is a ValueError
            return text
        except (TypeError, ValueError, RecursionError):
            return json.dumps({"status": _errors.clean(repr(said)), "progress": progress})

    def cancel(self, id, force=False, reason="cancelled"):
        """Asks the handler to stop the work on a workitem; with `force`, raises Cancelled(reason) in its thread. Whether
        it is in hand."""
        here = self._in_hand.get(id)
        if here is None:
            return False
        here.wid.cancelled = True
        self._control("cancel", id, here.wid)
        if force:
            with self._lock:
                if self._in_hand.get(id) is here:
                    here.forced = Cancelled(reason)
                    _raise_in(here.thread, type(here.forced))
        return True

    def _control(self, message, id, wid):
        ctrl = WorkItemCtrl(message)
        ctrl.wid = wid
        with _log.about(wid.wfid, id):
            try:
                return self._exo.on_control(ctrl)
            except BaseException:
                self._exo.log.exception("the handler raised on %r", message)
                return None

    def handle(self, id, body, redelivered, attempt):
        """Hands a workitem to the handler: (kind, reply, error), kind "reply", "forget" or "error". An error has the
        keys class, message, trace and traceback, forget, and cancelled where it was forced to stop."""
        try:
            wid = Workitem(body)
        except BaseException as e:
            return ("error", None, self._error(e))
        wid.redelivered, wid.attempt = redelivered, attempt
        if self._progress is not None:
            wid._on_progress = lambda fraction, text: self._progress(id, fraction, _errors.clean(text))
        fei = wid.to_h().get("fei")
        fei = dict(fei) if isinstance(fei, dict) else None
        with _log.about(wid.wfid, id, handled=True):
            error = self._work(id, wid)
            return self._answer(wid, fei, error)

    def _work(self, id, wid):
        """Does the work; returns what it raised."""
        here = self._in_hand[id] = _InHand(wid)
        error = None
        try:
            try:
                self._exo.consume(wid)
            except BaseException as e:
                error = e
            if os.getpid() != self._pid:
                _leave(error)
            if error is not None:
                try:
                    self._exo.on_error(wid, error)
                    error = None
                except BaseException as e:
                    error = e
            self._end(id, here)
        except Cancelled as e:  # it came when all was done
            error = e
            self._end(id, here)
        if isinstance(error, Cancelled) and here.forced is not None:
            return here.forced.with_traceback(_until_woken(error.__traceback__))
        return error

    def _end(self, id, here):
        """From here on nothing is raised in this thread any more."""
        with self._lock:
            self._in_hand.pop(id, None)
            if here.forced is not None:
                _raise_in(here.thread, None)

    def _answer(self, wid, fei, error):
        try:
            if error is None:
                if wid.forget:
                    return ("forget", None, None)
                return ("reply", _reply.body(wid, fei), None)
        except BaseException as e:
            error = e
        told = self._error(error)
        told["forget"] = _forgotten(wid)
        try:
            return ("error", _reply.body(wid, fei), told)
        except BaseException:
            return ("error", None, told)

    def _error(self, e):
        told = _errors.for_reply(e, self._error_class)
        if isinstance(e, Cancelled):
            told["cancelled"] = True
        return told


def _forgotten(wid):
    """Whether nobody waits for a reply; an answer that cannot be told true from false is none."""
    try:
        return wid.forget
    except BaseException:
        return False


def _raise_in(thread, cls):
    """Raises an exception in another thread, when that next runs Python; None takes it back. The main thread, which has
    the handler unless there are several at once, is woken for it."""
    if thread == threading.main_thread().ident:
        _PENDING[:] = [cls] if cls is not None else []
        if cls is not None:
            signal.pthread_kill(thread, _WAKE)
        return
    import ctypes
    raised = ctypes.py_object(cls) if cls is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def _until_woken(tb):
    """The traceback without our own last frame."""
    last = tb
    while last is not None and last.tb_next is not None:
        if last.tb_next.tb_frame.f_code is _woken.__code__:
            last.tb_next = None
        else:
            last = last.tb_next
    return tb


def _leave(error):
    """The end of a process that the handler forked and did not end: none of our exit work is its."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    _log.flush()
    os._exit(code & 255)
