"""The handler's module, and the exoskeleton around it."""

import importlib
import importlib.machinery
import importlib.util
import os
import pwd
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
        raise fatal("cannot construct ParticipantHandler", e, code)
    if cls.consume is Exo.consume and not callable(getattr(handler, "handle_wi", None)):
        raise Fatal("ParticipantHandler in %s has no method handle_wi" % code)
    # Configuring logging by a dictionary or a file disables all loggers that were there before.
    log.disabled = False
    try:
        handler.log = log
    except BaseException as e:
        raise fatal("cannot construct ParticipantHandler", e, code)
    exo.handler = handler
    return exo


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


def _user():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return os.geteuid()


def _import(path):
    if not os.path.isfile(path):
        try:
            os.stat(path)
        except PermissionError as e:
            raise Fatal("cannot read the handler file %s: %s for the user %s (who has to be let into each folder above it)"
                        % (path, e.strerror, _user()))
        except OSError:
            pass
        raise Fatal("there is no handler file %s: set code, or put it there" % path)
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
