"""The lines of a handler: each goes out whole, with level, participant and the wfid that it belongs to.

Everything goes to a copy of descriptor 1, so that a handler may close that, or put something else there.
"""

import functools
import io
import logging
import os
import select
import sys
import threading
import time

_local = threading.local()
_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}
_IN_HAND = []
# A line that is printed in pieces and does not end is cut when it is so long: it would be kept for ever.
_LONGEST = 1 << 20


def _mine():
    """What this thread works for (an `about`); a thread that the handler made works for the only workitem there is."""
    mine = getattr(_local, "mine", None)
    if mine is None:
        in_hand = _IN_HAND[:]
        mine = in_hand[0] if len(in_hand) == 1 else None
    return mine


class _Out(object):
    """Where lines go, and the form of a line."""

    #: `keep(id, level, bytes)` keeps what is said for a workitem, for the time after this process.
    keep = None

    def __init__(self, name, as_json):
        self._fd, self._name, self._as_json = os.dup(sys.__stdout__.fileno()), name, as_json
        #: The streams that write here.
        self.streams = ()
        self._free()
        # A thread that held it while another forked does not exist in the child.
        os.register_at_fork(after_in_child=self._free)

    def _free(self):
        self._lock = threading.Lock()

    @property
    def fd(self):
        return self._fd

    def settle(self, by):
        """Ends the line that this thread has begun on another stream: it was said before."""
        for stream in self.streams:
            if stream is not by:
                stream.flush()

    def say(self, level, text, by=None):
        """Writes each line of the text, which came by that stream."""
        self.settle(by)
        mine = _mine()
        wfid = mine.wfid if mine is not None else None
        if self.keep is not None and mine is not None and mine.id is not None:
            self.keep(mine.id, level, text.encode("utf-8", "backslashreplace"))
        form = self._json if self._as_json else self._plain
        rest = memoryview("".join(form(level, wfid, line) for line in text.split("\n")).encode("utf-8", "backslashreplace"))
        with self._lock:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest):]
                except BlockingIOError:  # a program that shares our output made it non-blocking
                    select.select((), (self._fd,), ())
                except OSError:  # nobody reads the log any more: no reason for a print to fail
                    return

    def _plain(self, level, wfid, line):
        return "%5s %s%s: %s\n" % (level, self._name, " " + _visible(wfid) if wfid else "", line.replace("\r", "\\r"))

    def _json(self, level, wfid, line):
        import json
        now = time.time()
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%06dZ" % (now % 1 * 1e6), "level": level,
                 "participant": self._name}
        if wfid:
            entry["wfid"] = wfid
        entry["message"] = line.encode("utf-8", "backslashreplace").decode()
        return json.dumps(entry, ensure_ascii=False) + "\n"


def _visible(text):
    """The text with its control characters shown: it came from outside, and a line end in it would forge lines."""
    if text.isprintable():
        return text
    named = {"\n": "\\n", "\r": "\\r", "\t": "\t"}
    return "".join(named.get(c, "\\u{%x}" % ord(c)) if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)


class Lines(io.TextIOBase):
    """Standard output or error of a handler. A line is written when it ends."""

    name = "<log>"
    line_buffering = write_through = True

    def __init__(self, out, level, fd):
        self._out, self._level, self._fd, self._parts, self._held = out, level, fd, {}, {}
        self._buffer = _Bytes(self)

    @property
    def buffer(self):
        """For handlers that write bytes."""
        return self._buffer

    @property
    def encoding(self):
        return "utf-8"

    @property
    def errors(self):
        return "backslashreplace"

    def writable(self):
        return True

    def fileno(self):
        return self._fd

    def isatty(self):
        return False

    def reconfigure(self, **_):
        """There is nothing to change about a log."""

    def close(self):
        """Flushes. A handler that closes its output may still want to say why it dies."""
        self.flush()

    def detach(self):
        """The binary side, for a wrapper of the handler's own. This one works on."""
        self.flush()
        return self._buffer

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        head, newline, tail = text.rpartition("\n")
        me = threading.get_ident()
        if newline:
            self._out.say(self._level, self._begun(me) + head, by=self)
        if tail:
            self._out.settle(self)
            begun = self._parts.setdefault(me, [])
            begun.append(tail)
            self._held[me] = self._held.get(me, 0) + len(tail)
            if len(begun) > 1 and self._held[me] > _LONGEST:
                self.flush()
        return len(text)

    def _begun(self, me):
        """The line that a thread has begun, which is out with this."""
        self._held.pop(me, None)
        return "".join(self._parts.pop(me, ()))

    def flush(self):
        if self._parts.get(threading.get_ident()):
            self.write("\n")

    def flush_all(self):
        """Writes the half lines of all threads."""
        for me in list(self._parts):
            self._out.say(self._level, self._begun(me), by=self)


class _Bytes(io.RawIOBase):
    def __init__(self, lines):
        self._lines = lines

    def writable(self):
        return True

    def fileno(self):
        return self._lines.fileno()

    def write(self, data):
        data = bytes(data)
        self._lines.write(data.decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self):
        self._lines.flush()

    def close(self):
        self.flush()


class _Handler(logging.Handler):
    def __init__(self, out):
        logging.Handler.__init__(self)
        self._out = out

    def emit(self, record):
        try:
            # A warning's text ends with a line.
            self._out.say(_LEVELS.get(record.levelname, record.levelname), self.format(record).rstrip("\n"))
        except Exception as e:  # a wrong logging call is no reason for a handler to fail
            given = ", ".join(map(_shown, (record.msg,) + (record.args if isinstance(record.args, tuple) else (record.args,))))
            self._out.say("WARN", "cannot log %s: %s (%s:%s)" % (given, e, record.pathname, record.lineno))


def _shown(value):
    try:
        return repr(value)
    except Exception:
        return "a %s" % type(value).__name__


def _safe(name):
    method = getattr(logging.Logger, name)

    def call(self, *args, **more):
        try:
            more["stacklevel"] = more.get("stacklevel", 1) + 1
            method(self, *args, **more)
        except Exception as e:
            self.wrong(args, e)

    call.__name__, call.__doc__ = name, method.__doc__
    return call


class Logger(logging.Logger):
    """A logger whose calls never raise, whatever their arguments are."""

    out = None

    def wrong(self, args, e):
        """Says that a call was wrong."""
        self.out.say("WARN", "cannot log %s: %s" % (", ".join(map(_shown, args)) or "nothing", e))

    debug, info, warning, error, critical, exception, log = map(
        _safe, ("debug", "info", "warning", "error", "critical", "exception", "log"))
    warn, fatal = warning, critical

    def __call__(self, *args, **more):
        self.info(*args, **more)


class _Own(Logger):
    """The participant's logger: however the handler configures logging, it is not disabled, and its lines are in the log
    once and in our form."""

    disabled = property(lambda self: False, lambda self, value: None)

    def callHandlers(self, record):
        self.log_handler.handle(record)
        logger = self
        while logger is not None:
            for handler in logger.handlers:
                # What else writes to our streams would say it a second time.
                told = isinstance(handler, _Handler) or isinstance(getattr(handler, "stream", None), Lines)
                if not told and record.levelno >= handler.level:
                    handler.handle(record)
            logger = logger.parent if logger.propagate else None


def install(name, as_json=False, level=None, fault=None):
    """Sends all output of this process through here; returns the participant's logger. What is said of a fault that ends
    the process goes to the descriptor `fault`, where there is one."""
    out = _Out(name, as_json)
    out.streams = sys.stdout, sys.stderr = Lines(out, "INFO", 1), Lines(out, "ERROR", 2)
    Logger.out = out
    logging.setLoggerClass(_Own)
    log = logging.getLogger(name)
    logging.setLoggerClass(Logger)
    _Own.log_handler = _Handler(out)
    logging.root.handlers[:] = [_Own.log_handler]
    logging.root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    import faulthandler
    faulthandler.enable(out.fd if fault is None else fault)
    _tell_of_ends(out)
    if level:
        _set_level(log, level)
    return log


def keep(call):
    """`call(id, level, bytes)` is told what is said for a workitem in hand."""
    Logger.out.keep = call


def _tell_of_ends(out):
    """Has the calls that end the process in the midst of everything say who made them."""
    _tell_of(out, "_exit", "ends the process at once", lambda args: True)
    _tell_of(out, "closerange", "closes what exo works with", lambda args: args[1:] > (3,))


def _tell_of(out, name, does, harmful):
    import traceback
    call, pid = getattr(os, name), os.getpid()

    @functools.wraps(call)
    def told(*args, **named):
        # A child that was forked may do as it likes.
        if os.getpid() == pid and harmful(args):
            ours = os.path.dirname(__file__)
            frames = [f for f in traceback.extract_stack(sys._getframe(1)) if os.path.dirname(f.filename) != ours]
            stack = "".join(traceback.format_list(frames[-5:])).rstrip()
            given = ", ".join(map(repr, args + tuple(named.values())))
            out.say("ERROR", "os.%s(%s) was called, which %s:\n%s" % (name, given, does, stack))
        return call(*args, **named)

    setattr(os, name, told)


def _set_level(log, level):
    try:
        log.setLevel(int(level) if level.isdigit() else level.upper())
    except ValueError:
        log.warning("[skynet] log_level is ignored: %r is none of DEBUG, INFO, WARNING, ERROR, CRITICAL", level)


def _outputs():
    """What standard output and error are now: a handler may have deleted them."""
    return getattr(sys, "stdout", None), getattr(sys, "stderr", None)


def flush():
    """Writes all half lines."""
    for stream in _outputs():
        if isinstance(stream, Lines):
            stream.flush_all()


class about(object):
    """While a workitem is in hand: its wfid goes before each line of this thread."""

    def __init__(self, wfid, id=None, handled=False):
        self.wfid, self.id = str(wfid) if wfid else "", id
        self._handled = handled

    def __enter__(self):
        self._before, _local.mine = getattr(_local, "mine", None), self
        if self._handled:
            _IN_HAND.append(self)

    def __exit__(self, *_):
        for stream in _outputs():
            try:
                stream.flush()
            except Exception:
                pass  # a stream that the handler put there itself, and closed
        _local.mine = self._before
        if self._handled:
            _IN_HAND.remove(self)
