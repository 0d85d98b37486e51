"""The lines of a handler: each goes out whole, with the participant and the wfid that it belongs to."""

import io
import logging
import os
import select
import sys
import threading

_local = threading.local()


class Lines(io.TextIOBase):
    """Standard output or error of a handler. A line is written when it ends, with its prefix."""

    def __init__(self, raw, level, name):
        self._raw, self._level, self._name = raw, level, name
        self._free()
        # A thread that held it while another forked does not exist in the child.
        os.register_at_fork(after_in_child=self._free)

    def _free(self):
        self._lock = threading.Lock()

    @property
    def buffer(self):
        """For handlers that write bytes: those go out as they are."""
        return self._raw

    @property
    def encoding(self):
        return "utf-8"

    def writable(self):
        return True

    def fileno(self):
        return self._raw.fileno()

    def write(self, text):
        parts = _local.__dict__.setdefault(self._level, [])
        head, newline, tail = text.rpartition("\n")
        if newline:
            whole = "".join(parts) + head
            parts.clear()
            self._emit("".join(self.prefix() + line + "\n" for line in whole.split("\n")))
        if tail:
            parts.append(tail)
        return len(text)

    def prefix(self):
        wfid = getattr(_local, "wfid", None)
        return "%5s %s%s: " % (self._level, self._name, " " + wfid if wfid else "")

    def _emit(self, text):
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        with self._lock:
            while rest:
                written = self._raw.write(rest)
                if written is None:  # a program that shares our output made it non-blocking
                    select.select((), (self._raw,), ())
                rest = rest[written or 0:]
            self._raw.flush()

    def flush(self):
        parts = _local.__dict__.get(self._level)
        if parts:
            self.write("\n")


class _Handler(logging.Handler):
    def __init__(self, lines, name):
        logging.Handler.__init__(self)
        self._lines, self._name = lines, name

    def emit(self, record):
        try:
            text = self.format(record)
            wfid = getattr(_local, "wfid", None)
            level = {"WARNING": "WARN", "CRITICAL": "ERROR"}.get(record.levelname, record.levelname)
            prefix = "%5s %s%s: " % (level, self._name, " " + wfid if wfid else "")
            self._lines._emit("".join(prefix + line + "\n" for line in text.split("\n")))
        except Exception as e:  # a wrong logging call is no reason for a handler to fail
            self._lines._emit(" WARN %s: cannot log %r: %s\n" % (self._name, record.msg, e))


def install(name):
    """Sends all output of this process through here; returns the participant's logger."""
    out = Lines(sys.stdout.buffer, "INFO", name)
    sys.stdout, sys.stderr = out, Lines(sys.stdout.buffer, "ERROR", name)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(out, name)]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return logging.getLogger(name)


class about(object):
    """While a workitem is in hand: its wfid goes before each line of this thread."""

    def __init__(self, wfid):
        # It came from outside: a line end in it would forge lines.
        self._wfid = "".join(c if c.isprintable() else "?" for c in str(wfid)) if wfid else None

    def __enter__(self):
        _local.wfid = self._wfid

    def __exit__(self, *_):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # a stream that the handler put there itself, and closed
        _local.wfid = None
