"""JSON that keeps the spelling of numbers which a double would change."""

import json

from RuoteAMQP.proxy import jsonable

# A decimal number of so many digits comes back from a double as it was.
_SAFE_DIGITS = 15


class Spelled(float):
    """A number that a double cannot hold exactly, with its spelling. It calculates like any float."""

    text = ""


class _Count(object):
    made = 0


def _number(text):
    digits = text.partition("e")[0].partition("E")[0]
    if len(digits) <= _SAFE_DIGITS and len(text) == len(digits):
        return float(text)
    value = Spelled(text)
    if repr(float(value)) == text:
        return float(value)
    return _spelled(value, text)


def _integer(text):
    try:
        return int(text)
    except ValueError:  # Python makes none of so many digits
        return _spelled(Spelled(text), text)


def _spelled(value, text):
    value.text = text
    _Count.made += 1
    return value


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=jsonable)


def loads(text):
    """What the JSON says, and whether numbers in it may have to keep their spelling."""
    if isinstance(text, (bytes, bytearray)):
        text = str(text, "utf-8", "surrogatepass")
    before = _Count.made
    value = _DECODER.decode(text)
    return value, _Count.made != before


def dumps(value, spelled=False):
    """Compact JSON in ASCII. ValueError or TypeError for what JSON has no form for."""
    if spelled:
        return "".join(_Encoder().iterencode(value))
    return _ENCODER.encode(value)


class _Encoder(json.JSONEncoder):
    """The encoder of the standard library in Python, which can be told how to write a float."""

    def iterencode(self, value, _one_shot=False):
        write = json.encoder._make_iterencode({}, jsonable, json.encoder.encode_basestring_ascii, None, _float, ":", ",",
                                              False, False, False)
        return write(value, 0)


def _float(value):
    if isinstance(value, Spelled) and value.text:
        return value.text
    if value - value != 0:
        raise ValueError("Out of range float values are not JSON compliant: %r" % value)
    return float.__repr__(value)
