"""The workitem: the fields of a process, as live references.

`fields` and `params` give attribute access into the very dicts that are sent back: what is assigned is kept as it
is, and may be changed afterwards.
"""

import copy
import json

from RuoteAMQP import numbers
from RuoteAMQP.fei import FlowExpressionId
from RuoteAMQP.proxy import DictAttrProxy, bare, jsonable

__all__ = ["DictAttrProxy", "FlowExpressionId", "Workitem"]


class _reading(object):
    """Like property, but the attribute may be set, as any attribute of a Workitem; then that is what it is."""

    def __init__(self, read):
        self._read, self._name, self.__doc__ = read, read.__name__, read.__doc__

    def __get__(self, wid, _=None):
        if wid is None:
            return self
        own = wid.__dict__
        return own[self._name] if self._name in own else self._read(wid)

    def __set__(self, wid, value):
        wid.__dict__[self._name] = value


class Workitem(object):
    """A workitem. Made from text (str or bytes) or a dict, so that a handler can be tested without SkyNET.

        wid = Workitem('{"fields": {"name": "x"}}')
        wid.fields.size = len(wid.fields.name)      # fields and params: attribute access to nested dicts
        wid.result = True                           # fields.__result__, which `if` in a process asks

    `cancelled`: somebody asked for it to be cancelled; `redelivered`: the broker delivered it before; `attempt`: which
    attempt at it this is, from 1. Any attribute may be set on it; reading one that is not there raises AttributeError.
    """

    #: Whether somebody asked for this workitem to be cancelled.
    cancelled = False
    #: Whether the broker delivered it before.
    redelivered = False
    #: Which attempt at it this is, from 1.
    attempt = 1

    _spelled = False
    _on_progress = None

    def __init__(self, msg=None):
        if isinstance(msg, (str, bytes, bytearray)):
            msg, self._spelled = numbers.loads(msg)
        if msg is None:
            msg = {}
        if not isinstance(msg, dict):
            raise ValueError("a workitem is a JSON object, not %s" % type(msg).__name__)
        self._h = msg
        fields = msg.setdefault("fields", {})
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
        self._h["fields"] = bare(value)

    @property
    def params(self):
        """The parameters that the process definition gave, by attribute."""
        fields = self._h["fields"]
        if fields.get("params") is None:
            fields["params"] = {}
        return DictAttrProxy(fields["params"])

    @params.setter
    def params(self, value):
        self._h["fields"]["params"] = bare(value)

    @property
    def result(self):
        """`fields.__result__`"""
        return self._field("__result__")

    @result.setter
    def result(self, value):
        self._h["fields"]["__result__"] = bare(value)

    @property
    def error(self):
        """What the engine is told went wrong; None where nothing did."""
        return self._h.get("error")

    @error.setter
    def error(self, value):
        self._h["error"] = bare(value)

    @property
    def trace(self):
        """The `trace` of the workitem; None where there is none."""
        return self._h.get("trace")

    @trace.setter
    def trace(self, value):
        self._h["trace"] = bare(value)

    @property
    def forget(self):
        """Whether nobody waits for a reply: as it was set here, else params.forget or fields.forget."""
        params = self._field("params")
        by_params = isinstance(params, dict) and params.get("forget")
        return bool(by_params or (not self.__dict__.get("_forget_set") and self._field("forget")))

    @forget.setter
    def forget(self, value):
        self.params.forget = bool(value)
        self._forget_set = True

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
        return self._field("dispatched_at")

    @_reading
    def timed_out(self):
        """Whether the engine says that it timed out."""
        return self._field("__timed_out__")

    @_reading
    def is_cancel(self):
        """Whether this is a request to cancel."""
        return bool(self._h.get("cancel"))

    def _field(self, name):
        """A field, also where a handler left something odd in the place of the fields."""
        fields = self._h.get("fields")
        return fields.get(name) if isinstance(fields, dict) else None

    def lookup(self, key, container_lookup=False):
        """The field at a path like "a.b"; list places by number; None where there is none."""
        value = bare(self._h["fields"])
        for name in key.split("."):
            if isinstance(value, dict) and name in value:
                value = bare(value[name])
            elif isinstance(value, (list, tuple)) and name.isdecimal() and int(name) < len(value):
                value = bare(value[int(name)])
            else:
                return None
        return value

    lf = lookup

    def set_field(self, key, value):
        """Sets the field at a path like "a.b"; makes the dicts on the way. List places by number. TypeError where there
        is a value on the way that has nothing below it: it would be lost."""
        names = key.split(".")
        place = bare(self._h["fields"])
        for i, name in enumerate(names):
            if isinstance(place, list):
                name = int(name)
            elif not isinstance(place, dict):
                raise TypeError("cannot set the field %s: %s is a %s" % (key, ".".join(names[:i]), type(place).__name__))
            if i == len(names) - 1:
                place[name] = bare(value)
            elif isinstance(place, dict) and place.get(name) is None:
                place[name] = {}
            place = bare(place[name])

    def to_h(self):
        """The dict itself."""
        return self._h

    def dup(self):
        """A workitem of its own with the same content."""
        other = type(self)(copy.deepcopy(self._h))
        other._spelled = self._spelled
        return other

    def dump(self):
        """Readable JSON: keys sorted, indented by 4."""
        return json.dumps(self._h, sort_keys=True, indent=4, default=jsonable)

    def progress(self, fraction, text=""):
        """How far the work has got, 0 to 1, and a few words: for whoever asks for the status."""
        fraction = None if fraction is None else float(fraction)
        if fraction is not None:
            fraction = min(max(fraction, 0.0), 1.0) if fraction == fraction else None
        self._progress = (fraction, str(text))
        if self._on_progress is not None:
            self._on_progress(fraction, str(text))

    def __eq__(self, other):
        return isinstance(other, Workitem) and self._h == other._h

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        # What it is the work of stays as it is, while its content changes.
        return hash(self.sid)

    def __getstate__(self):
        state = dict(self.__dict__)
        state.pop("_on_progress", None)  # nobody asks another process
        return state

    def __repr__(self):
        return "<Workitem %s>" % self.sid
