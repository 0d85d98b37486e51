"""The workitem: the fields of a process, as live references.

`fields` and `params` give attribute access into the very dicts that are sent back: what is assigned is kept as it
is, and may be changed afterwards.
"""

import copy
import json

_OWN = "_dict"


def _wrap(value):
    return DictAttrProxy(value) if isinstance(value, dict) else value


def _bare(value):
    return value.as_dict() if isinstance(value, DictAttrProxy) else value


class DictAttrProxy(object):
    """Attribute access to a dict. A missing attribute is None; `as_dict` is its only method, every other name is
    a key of the dict."""

    __slots__ = (_OWN,)

    def __init__(self, target=None):
        object.__setattr__(self, _OWN, {} if target is None else _bare(target))

    def as_dict(self):
        """The dict itself."""
        return object.__getattribute__(self, _OWN)

    def __getattribute__(self, name):
        if name in ("as_dict", "__class__"):
            return object.__getattribute__(self, name)
        if name.startswith("__") and name.endswith("__") and name not in self.as_dict() and hasattr(object, name):
            return object.__getattribute__(self, name)
        return _wrap(object.__getattribute__(self, _OWN).get(name))

    def __setattr__(self, name, value):
        self.as_dict()[name] = _bare(value)

    def __delattr__(self, name):
        self.as_dict().pop(name, None)

    def __getitem__(self, name):
        return _wrap(self.as_dict()[name])

    def __setitem__(self, name, value):
        self.as_dict()[name] = _bare(value)

    def __delitem__(self, name):
        del self.as_dict()[name]

    def __iter__(self):
        return iter(self.as_dict())

    def __len__(self):
        return len(self.as_dict())

    def __contains__(self, name):
        return name in self.as_dict()

    def __bool__(self):
        return True

    def __eq__(self, other):
        return self.as_dict() == _bare(other)

    def __ne__(self, other):
        return not self == other

    __hash__ = None

    def __repr__(self):
        return repr(self.as_dict())

    def __copy__(self):
        return DictAttrProxy(dict(self.as_dict()))

    def __deepcopy__(self, memo):
        return DictAttrProxy(copy.deepcopy(self.as_dict(), memo))

    def __reduce_ex__(self, protocol):
        return (DictAttrProxy, (self.as_dict(),))


def jsonable(value):
    """For json.dumps(default=...): a proxy that a handler put into a list or dict of its own is its dict."""
    if isinstance(value, DictAttrProxy):
        return value.as_dict()
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


class _reading(object):
    """Like property, but the attribute may be set, as any attribute of a Workitem; then that is what it is."""

    def __init__(self, read):
        self._read, self.__doc__ = read, read.__doc__

    def __get__(self, wid, _=None):
        return self if wid is None else self._read(wid)


class FlowExpressionId(object):
    """Which expression of which process: expid, wfid, subid, engine_id."""

    def __init__(self, fei):
        self._fei = fei if isinstance(fei, dict) else {}

    @property
    def expid(self):
        """The expression's place in the process definition."""
        return self._fei.get("expid")

    @property
    def wfid(self):
        """Workflow instance id."""
        return self._fei.get("wfid")

    @property
    def subid(self):
        """Which copy of the expression; older engines call it sub_wfid."""
        return self._fei.get("subid", self._fei.get("sub_wfid"))

    @property
    def engine_id(self):
        """The engine that sent the workitem."""
        return self._fei.get("engine_id")

    @property
    def child_id(self):
        """The expression's place within its parent: the last number of expid."""
        last = str(self.expid).rpartition("_")[2]
        return int(last) if last.isdigit() else None

    @property
    def sid(self):
        """expid!subid!wfid"""
        return "%s!%s!%s" % (self.expid, self.subid, self.wfid)

    def __getitem__(self, name):
        return self.subid if name == "subid" else self._fei[name]

    def __eq__(self, other):
        return isinstance(other, FlowExpressionId) and self.to_h() == other.to_h()

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self.sid)

    def __repr__(self):
        return "<FlowExpressionId %s>" % self.sid

    def to_h(self):
        """The dict itself."""
        return self._fei


class Workitem(object):
    """A workitem. Made from text (str or bytes) or a dict, so that a handler can be tested without SkyNET."""

    cancelled = False
    redelivered = False
    attempt = 1

    def __init__(self, source=None):
        if isinstance(source, (str, bytes, bytearray)):
            source = json.loads(source)
        if source is None:
            source = {}
        if not isinstance(source, dict):
            raise ValueError("a workitem is a JSON object, not %s" % type(source).__name__)
        self._h = source
        fields = source.setdefault("fields", {})
        if not isinstance(fields, dict):
            raise ValueError("the fields of a workitem are a JSON object, not %s" % type(fields).__name__)
        if fields.get("params") is None:
            fields["params"] = {}

    @property
    def fields(self):
        """The fields, by attribute."""
        return DictAttrProxy(self._h["fields"])

    @fields.setter
    def fields(self, value):
        self._h["fields"] = _bare(value)

    @property
    def params(self):
        """The parameters that the process definition gave, by attribute."""
        fields = self._h["fields"]
        if fields.get("params") is None:
            fields["params"] = {}
        return DictAttrProxy(fields["params"])

    @params.setter
    def params(self, value):
        self._h["fields"]["params"] = _bare(value)

    @property
    def result(self):
        """`fields.__result__`"""
        return self._h["fields"].get("__result__")

    @result.setter
    def result(self, value):
        self._h["fields"]["__result__"] = _bare(value)

    @property
    def error(self):
        """What the engine is told went wrong; None where nothing did."""
        return self._h.get("error")

    @error.setter
    def error(self, value):
        self._h["error"] = _bare(value)

    @property
    def trace(self):
        """`fields.debug_trace`: whether a summary of the workitem goes to the log."""
        return self._h["fields"].get("debug_trace")

    @trace.setter
    def trace(self, value):
        self._h["fields"]["debug_trace"] = value

    @property
    def forget(self):
        """Whether nobody waits for a reply: as set here, else params.forget or fields.forget."""
        if "_forget" in self.__dict__:
            return bool(self._forget)
        fields = self._h["fields"]
        params = fields.get("params")
        return bool((isinstance(params, dict) and params.get("forget")) or fields.get("forget"))

    @forget.setter
    def forget(self, value):
        self._forget = value

    @_reading
    def fei(self):
        """Which expression of which process this is."""
        return FlowExpressionId(self._h.get("fei"))

    @_reading
    def sid(self):
        """expid!subid!wfid"""
        return FlowExpressionId(self._h.get("fei")).sid

    @_reading
    def wfid(self):
        """Workflow instance id."""
        return FlowExpressionId(self._h.get("fei")).wfid

    @_reading
    def wf_name(self):
        """The process definition's name."""
        return self._h.get("wf_name")

    @_reading
    def participant_name(self):
        """The name under which the process called the participant."""
        return self._h.get("participant_name")

    @_reading
    def dispatched_at(self):
        """When the engine sent it, in the engine's words."""
        return self._h["fields"].get("dispatched_at")

    @_reading
    def timed_out(self):
        """Whether the engine says that it timed out."""
        return self._h["fields"].get("__timed_out__")

    @_reading
    def is_cancel(self):
        """Whether this is a request to cancel."""
        return bool(self._h.get("cancel"))

    def lookup(self, path, default=None):
        """The field at a path like "a.b"; list places by number."""
        value = self._h["fields"]
        for key in path.split("."):
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return default
        return value

    def set_field(self, path, value):
        """Sets the field at a path like "a.b"; makes the dicts on the way. List places by number."""
        keys = path.split(".")
        place = self._h["fields"]
        for key in keys[:-1]:
            if isinstance(place, list):
                place = place[int(key)]
                continue
            if not isinstance(place.get(key), (dict, list)):
                place[key] = {}
            place = place[key]
        place[int(keys[-1]) if isinstance(place, list) else keys[-1]] = _bare(value)

    def to_h(self):
        """The dict itself."""
        return self._h

    def dup(self):
        """A workitem of its own with the same content."""
        return type(self)(copy.deepcopy(self._h))

    def dump(self):
        """Readable JSON."""
        return json.dumps(self._h, sort_keys=True, indent=4, default=jsonable)

    def progress(self, fraction, text=""):
        """How far the work has got: for whoever asks."""
        self._progress = (fraction, text)

    def __eq__(self, other):
        return isinstance(other, Workitem) and self._h == other._h

    def __ne__(self, other):
        return not self == other

    __hash__ = None

    def __repr__(self):
        return "<Workitem %s>" % self.sid
