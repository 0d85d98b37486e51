//! What the extension reads and writes is what Python's own json does. "Keys that we do not know survive a round trip
//! unchanged and in order."
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use tests::Sandbox;

/// The values of one seed through both. What the extension leaves to Python (None) is no difference; what it must not
/// leave is named.
const BOTH: &str = r#"
import json, random, sys
from RuoteAMQP import DictAttrProxy, numbers
import _skynet

def same(one, other):
    # 1, 1.0 and True are equal, 0.0 and -0.0 too.
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if type(one) is list:
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and repr(one) == repr(other)

def read(text):
    quick = _skynet.loads(text.encode("utf-8", "surrogatepass"))
    try:
        slow, spelled = numbers.loads(text)
    except (ValueError, RecursionError):
        assert quick is None, text
        return False
    assert quick is None or (same(quick, slow) and not spelled and type(slow) is dict), (text, quick, slow)
    return quick is not None

def write(value):
    quick = _skynet.dumps(value)
    try:
        slow = numbers.dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        assert quick is None, value
        return False
    assert quick in (None, slow), (quick, slow)
    return quick is not None

class Dict(dict): pass
class Text(str): pass
class Number(int): pass

ODD = ["é", "☃", "\U0001f600", "\ud800", "\udc00", '"', "\\", "/", "\n", "\r", "\t", "\b", "\f", "\0", "\x1f", "\x7f", "\x80"]
WORDS = ["0", "-0", "-0.0", "1", "-1", "01", "1.", ".5", "1.5", "1.50", "1e5", "1E+5", "1e-7", "0.1", "1e400", "-1e400", "1e16",
         "1795896821.107153", "0.30000000000000004", "123456789012345678901234567890", "9223372036854775807", "999999999999999999",
         "1234567890123456789", "1000000000000000.0", "-1e-5", "100000000000000000000.0", "NaN", "Infinity", "-Infinity", "-", "+1",
         "true", "false", "null", "True", "nul", "truefalse", "tru", "[", "]", "{", "}", "", "\u00a0", "'x'", "\"", "\"\\", "\"\\u12",
         "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83d\\u0041\"", "\"\\u00e9\\/\\b\\f\"", "\"\\x\"", "\"\\u 123\"",
         "\"\\u+123\"", "\"\t\"", "\"\\u00C9\"", "\"\\ud83d\\ud83d\\ude00\"", "\"\\u12é\""]

def text(r):
    return "".join(r.choice(ODD) if r.random() < 0.3 else r.choice("ab c{}[]:,0") for _ in range(r.randrange(8)))

def value(r, deep):
    kind = r.randrange(12)
    if deep and kind < 3:
        return {text(r): value(r, deep - 1) for _ in range(r.randrange(5))}
    if deep and kind < 5:
        return [value(r, deep - 1) for _ in range(r.randrange(5))]
    return r.choice([None, True, False, 0, -1, r.getrandbits(40), r.random(), r.uniform(-1e20, 1e20), 1e16, -0.0, 5e-324, text(r), text(r)])

def odd(r):
    inner = r.choice([(1,), Dict(a=1), Text("x"), Number(3), 1 << 70, -(1 << 63), (1 << 63) - 1, float("nan"), float("-inf"), b"x", {1},
                      {1: 2}, {None: 1}, {Text("k"): 1}, DictAttrProxy({"a": 1}), object(), numbers.Spelled("1.10"), "\ud800"])
    return {"fields": r.choice([inner, [inner], {"a": inner}])}

seed = int(sys.argv[1])
r = random.Random(seed)
quick = 0
for _ in range(1500):
    v = {"a": value(r, 4), text(r): value(r, 3)}
    space = r.choice(["", " ", "\n\t ", "\r"])
    spelled = json.dumps(v, ensure_ascii=r.random() < 0.5, separators=("," + space, space + ":"), indent=r.choice([None, 1]))
    quick += read(spelled) and write(v)
    # Damaged, and with words that are no JSON, or only nearly.
    at = r.randrange(len(spelled) + 1)
    read(spelled[:at] + r.choice(WORDS + ODD) + spelled[at + r.randrange(2):])
    read(space + '{"a"%s:%s%s}' % (space, space, r.choice(WORDS)) + r.choice(["", space, "x", "}"]))
    read('{"a":%s,"b":[%s,1],"a":%s}' % (r.choice(WORDS), r.choice(WORDS), r.choice(["2", "[]"])))
    write(odd(r))
assert quick > 300, quick
for word in WORDS:
    read('{"a":%s}' % word); read('{"%s":1}' % word); read(word)
for deep in 1, 30, 63, 64, 65, 900, 10000:
    read('{"a":' * deep + "1" + "}" * deep)
    read('{"a":' + "[" * deep + "]" * deep + "}")
    v = []
    for _ in range(min(deep, 900)): v = [v]
    write({"a": v})
ring = {}
ring["fields"] = ring
assert not write(ring)
# What an engine sends is not left to Python, nor what handlers commonly make of it.
assert read('{"fields":{"params":{"n":3},"t":1795896821.107153,"l":[1,2.5,null,true,"é☃\\n"],"":{}},"error":null}')
assert write({"fields": {"params": {"n": 3}, "t": 1795896821.107153, "l": [1, 2.5, None, True, "é☃\n"], "": {}}, "error": None})
assert _skynet.loads(b'{"a":"\xff"}') is None and _skynet.loads(b'\xef\xbb\xbf{}') is None and _skynet.loads(b'[1]') is None
"#;

#[test]
fn what_the_extension_reads_and_writes_is_what_python_does() {
    let sandbox = Sandbox::new();
    let packages = sandbox.programs().bin().join("../python");
    for seed in 0..4 {
        let mut both = sandbox.command("/usr/bin/python3", &["-c", BOTH, &seed.to_string()]);
        both.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
        let done = sandbox.spawn(both).finish();
        assert_eq!(done.code, Some(0), "seed {seed}: {done:?}");
    }
}
