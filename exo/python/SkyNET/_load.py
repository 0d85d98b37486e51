"""The handler's module, and the exoskeleton around it."""

import importlib
import importlib.machinery
import importlib.util
import os
import sys

from SkyNET._errors import Fatal, fatal
from SkyNET.Exo import Exo


def exoskeleton(settings, log):
    """The exoskeleton that the settings ask for, with its handler made."""
    code = settings["code"]
    sys.path.insert(0, os.path.dirname(code))
    cls = _class(settings.get("exoskeleton"))
    module = _import(code)
    try:
        exo = cls(settings, log)
    except BaseException as e:
        raise fatal("cannot construct the exoskeleton %s" % cls.__name__, e, code)
    if cls.make_handler is Exo.make_handler and not hasattr(module, "ParticipantHandler"):
        raise Fatal("%s has no class ParticipantHandler" % code)
    try:
        handler = exo.make_handler(module)
    except BaseException as e:
        raise fatal("cannot construct ParticipantHandler", e, code, _constructor(module, code))
    if cls.consume is Exo.consume:
        _check_method(getattr(handler, "handle_wi", None), code)
    try:
        handler.log = log
    except BaseException as e:
        raise fatal("cannot construct ParticipantHandler", e, code)
    exo.handler = handler
    return exo


def _constructor(module, path):
    """On which line of the handler's file its constructor stands: one that is called wrongly has no frame."""
    function = getattr(getattr(module, "ParticipantHandler", None), "__init__", None)
    function = getattr(function, "__code__", None)
    return function.co_firstlineno if function is not None and function.co_filename == path else None


#: Functions whose call only makes a generator or a coroutine: inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR.
_NEVER_RUN = 0x20 | 0x80 | 0x200


def _check_method(method, code):
    if not callable(method):
        raise Fatal("ParticipantHandler in %s has no method handle_wi" % code)
    function = getattr(method, "__code__", None)
    if function is not None and function.co_flags & _NEVER_RUN:
        raise Fatal("handle_wi in %s is async or has a yield, and would never run: asyncio.run(…) within it does" % code)


def _class(name):
    """`module:Class`; the module is looked for beside the handler first."""
    if not name:
        return Exo
    module, _, attribute = name.partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute, None)
    except BaseException as e:
        raise fatal("cannot import the exoskeleton %s" % name, e, module)
    if not (isinstance(cls, type) and issubclass(cls, Exo)):
        what = "there is no such class" if cls is None else "it is no subclass of SkyNET.Exo"
        raise Fatal('cannot use exoskeleton = "%s": %s' % (name, what))
    return cls


def _import(path):
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        # Named here, so that a file of any name is Python's.
        loader = importlib.machinery.SourceFileLoader(stem, path)
        spec = importlib.util.spec_from_file_location(stem, path, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        loader.exec_module(module)
    except BaseException as e:
        raise fatal("cannot import the handler", e, path)
    return module
