"""The bytes that go back to the engine, and what in a workitem cannot become any."""

from RuoteAMQP import numbers
from RuoteAMQP.proxy import DictAttrProxy, bare

# What is nested deeper is not looked into any more.
_DEEP = 900
# So many steps of a path are shown.
_SHOWN = 8

#: The extension's writer of what is not unusual, for which it returns None.
write = None


def body(wid, fei=None):
    """What is sent. Where the workitem came with a fei, that is sent, whatever the handler did to it. An empty error is
    left out: it is true in Ruby, and would fail the process."""
    workitem = wid.to_h()
    fields = bare(workitem.get("fields"))
    if not isinstance(fields, dict):
        there = "fields is a %s" % type(fields).__name__ if "fields" in workitem else "there are no fields any more"
        raise TypeError("%s: the fields of a workitem are a JSON object" % there)
    if fei is not None and workitem.get("fei") != fei:
        workitem = dict(workitem, fei=fei)
    if workitem.get("error", True) is not None and not workitem.get("error", True):
        workitem = {key: value for key, value in workitem.items() if key != "error"}
    text = write(workitem) if write is not None else None
    if text is not None:
        return text
    try:
        return numbers.dumps(workitem, wid._spelled).encode("ascii")
    except (TypeError, ValueError, RecursionError) as e:
        why = "it is nested too deeply" if isinstance(e, RecursionError) else str(e)
        path = find_bad(workitem)
        again = TypeError if isinstance(e, TypeError) else ValueError
        raise again("%s is not JSON: %s" % (path or "the workitem", why)) from None


def find_bad(whole):
    """The path of the first value, in order, that JSON has no form for; None where there is none."""
    # Each step of the way down: the value, the name it has in the one above, and what of it is still to be seen.
    way, trail = [(whole, "", iter(((None, whole),)))], set()
    while way:
        _, _, rest = way[-1]
        name, value = next(rest, (None, way))
        if value is way:
            seen, _, _ = way.pop()
            trail.discard(id(seen))
            continue
        if isinstance(value, DictAttrProxy):
            value = value.as_dict()
        path = [step for _, step, _ in way[2:]] + ([name] if name is not None else [])
        if value is None or isinstance(value, (str, bool, int)):
            continue
        if isinstance(value, float) and value - value == 0:
            continue
        if not isinstance(value, (dict, list, tuple)) or id(value) in trail or len(way) > _DEEP:
            return _path(path)
        if isinstance(value, dict):
            odd = [key for key in value if not (key is None or isinstance(key, (str, int, float)))]
            if odd:
                return "%s[%r]" % (_path(path), odd[0])
            children = iter([(".%s" % key, child) for key, child in value.items()])
        else:
            children = iter([("[%d]" % i, child) for i, child in enumerate(value)])
        trail.add(id(value))
        way.append((value, name if name is not None else "", children))
    return None


def _path(steps):
    shown = "".join(steps[:_SHOWN]) + ("…" if len(steps) > _SHOWN else "")
    return shown[1:] if shown.startswith(".") else shown
