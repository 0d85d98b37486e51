"""What an exception is told as: a message for the engine, a traceback for people."""

import os
import traceback

_OURS = os.path.dirname(__file__)


class Fatal(Exception):
    """The handler cannot be used."""

    def __init__(self, message, trace=""):
        Exception.__init__(self, message)
        self.message, self.traceback = message, trace


def fatal(what, e, path, line=None):
    """One line with class, text, file and line (the given one where nothing tells another); the traceback from the
    handler's first frame on."""
    if isinstance(e, Fatal):
        return e
    said, place = text(e), path if line is None else "%s:%s" % (path, line)
    tb = _without_ours(e.__traceback__)
    frames = traceback.extract_tb(tb)
    if isinstance(e, SyntaxError):
        said, place = e.msg, "%s:%s" % (e.filename or path, e.lineno) if e.lineno else path
    elif frames:
        # Where the handler's own file stood; what it called is in the traceback.
        frame = [frame for frame in frames if frame.filename == path][-1:] or frames[-1:]
        place = "%s:%s" % (frame[0].filename, frame[0].lineno)
    line = "%s: %s: %s (%s)" % (what, type(e).__name__, " ".join(str(said).split()), place)
    return Fatal(clean(line), _whole(e, tb))


def for_reply(e, cls):
    """What the engine is told, with the whole traceback beside it."""
    tb = _without_ours(e.__traceback__)
    trace = [clean("%s:%d: in `%s'" % (f.filename, f.lineno, f.name)) for f in traceback.extract_tb(tb)]
    return {"class": cls, "message": clean(message(e)), "trace": trace, "traceback": _whole(e, tb)}


def _without_ours(tb):
    """The traceback without our frames and those of the import machinery that lead to the handler's."""
    def ours(name):
        return os.path.dirname(name) == _OURS or "importlib" in name

    while tb is not None and ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _whole(e, tb):
    try:
        return clean("".join(traceback.format_exception(type(e), e, tb)))
    except Exception as again:  # an exception of the handler's that cannot be shown
        return clean("%s (its traceback raises %s)\n" % (message(e), type(again).__name__))


def clean(said):
    """The text without what UTF-8 has no form for, as file names may have."""
    return said.encode("utf-8", "backslashreplace").decode()


def message(e):
    """Class and text, in the forms that people know from the original."""
    name = type(e).__name__
    try:
        # By its name: whoever raises urllib's has imported it, nobody else needs to.
        if hasattr(e, "code") and any(cls.__name__ == "HTTPError" for cls in type(e).__mro__):
            return "HTTPError: %s %s" % (e.code, e.filename)
        if isinstance(e, OSError) and e.errno is not None and e.strerror is not None:
            path = "%s " % (e.filename,) if e.filename is not None else ""
            return "%s(%s): %s%s" % (name, e.errno, path, e.strerror)
        msg = getattr(e, "msg", None)
        if msg is not None and not callable(msg):
            return "%s: %s" % (name, msg)
    except Exception:
        pass  # an exception that cannot tell its own parts may still have a text
    return "%s: %s" % (name, text(e))


def text(e):
    """The exception's own text."""
    try:
        return str(e)
    except Exception as again:
        return "(its text raises %s)" % type(again).__name__
