"""Attribute access to the dicts of a workitem."""

import copy

_OWN = "_dict"


def bare(value):
    """What is kept in a workitem: of a proxy its dict, anything else as it is."""
    return value.as_dict() if isinstance(value, DictAttrProxy) else value


def jsonable(value):
    """For json.dumps(default=...): a proxy that a handler put into a list or dict of its own is its dict."""
    if isinstance(value, DictAttrProxy):
        return value.as_dict()
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


class DictAttrProxy(object):
    """Attribute access to a dict, which stays the one object it is.

    A missing attribute is None; an assignment creates. `as_dict` is the only method, every other name is a key of
    the dict. A dict below, got by attribute, is a proxy again; `[]` gives what is there as it is.
    """

    __slots__ = (_OWN,)

    def __init__(self, d=None):
        object.__setattr__(self, _OWN, {} if d is None else bare(d))

    def as_dict(self):
        """The dict itself."""
        return object.__getattribute__(self, _OWN)

    def __getattribute__(self, name):
        if name in ("as_dict", "__class__"):
            return object.__getattribute__(self, name)
        own = object.__getattribute__(self, _OWN)
        if name.startswith("__") and name.endswith("__") and name not in own and hasattr(object, name):
            return object.__getattribute__(self, name)
        value = own.get(name)
        # Exactly dict: an object of a class of the handler's own keeps its methods.
        return DictAttrProxy(value) if type(value) is dict else value

    def __setattr__(self, name, value):
        self.as_dict()[name] = bare(value)

    def __delattr__(self, name):
        self.as_dict().pop(name, None)

    def __getitem__(self, name):
        return self.as_dict()[name]

    def __setitem__(self, name, value):
        self.as_dict()[name] = bare(value)

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
        return self.as_dict() == bare(other)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        # The content changes, and equal ones have to have the same.
        return hash(DictAttrProxy)

    def __repr__(self):
        return repr(self.as_dict())

    def __copy__(self):
        return DictAttrProxy(dict(self.as_dict()))

    def __deepcopy__(self, memo):
        return DictAttrProxy(copy.deepcopy(self.as_dict(), memo))

    def __reduce_ex__(self, protocol):
        return (DictAttrProxy, (self.as_dict(),))
