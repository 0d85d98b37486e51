//! The table: what a participant may be sent, and what must become of it.

use super::{Body, body, with_fei};
use Expect::{Both, Error, Nothing, Parked, Same};

/// What must become of a message.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// It is worked on: the reply is the workitem.
    Same,
    /// It was to be worked on, and is answered with an error that says this.
    Error(&'static str),
    /// It is parked with a reason that says this, and not answered.
    Parked(&'static str),
    /// It is parked with such a reason, and answered with an error.
    Both(&'static str),
    /// It is acknowledged.
    Nothing,
}

/// Every case with its number, and what is expected of a handler and of a program.
pub fn cases() -> Vec<(Body, [Expect; 2])> {
    let mut table = vec![];
    for (what, entries, expect) in well_formed() {
        table.push((body(table.len() as u64, what, &entries), expect));
    }
    for (what, fei, expect) in feis() {
        table.push((with_fei(table.len() as u64, what, r#""fields":{"a":1}"#, &fei), expect));
    }
    for (what, bytes, expect) in broken() {
        table.push((
            Body { number: table.len() as u64, what: what.into(), bytes, is_cancel: false },
            [expect; 2],
        ));
    }
    table
}

fn deep() -> String {
    format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))
}

fn well_formed() -> Vec<(&'static str, String, [Expect; 2])> {
    let numbers = [
        "0.1000000000000000055511151231257827021181583404541015625",
        "3.141592653589793238462643383279502884197",
        "123456789012345678901234567890",
        "9007199254740993",
        "9007199254740993.0",
        "1e999",
        "-1E+400",
        "1e-400",
        "1.7976931348623157e+309",
        "-0.0",
        "1.10",
        "1E5",
        "0.1",
    ];
    let digits = "7".repeat(400);
    let long = "x".repeat(1 << 20);
    let table: Vec<(&str, String, [Expect; 2])> = vec![
        ("as it should be", r#""fields":{"a":1,"params":{}}"#.into(), [Same; 2]),
        ("no params", r#""fields":{"a":1}"#.into(), [Same; 2]),
        ("params null", r#""fields":{"params":null,"a":1}"#.into(), [Same; 2]),
        ("params a list", r#""fields":{"params":[true]}"#.into(), [Both("fields.params is not an object"); 2]),
        ("no fields", r#""x":1"#.into(), [Both("no fields"); 2]),
        ("fields null", r#""fields":null"#.into(), [Both("no fields"); 2]),
        ("fields a list", r#""fields":[{}]"#.into(), [Both("fields is not an object"); 2]),
        ("fields a text", r#""fields":"{}""#.into(), [Both("fields is not an object"); 2]),
        ("fields a number", r#""fields":1e999"#.into(), [Both("fields is not an object"); 2]),
        ("fields twice", r#""fields":{"a":1},"fields":{"b":2}"#.into(), [Both("duplicate field `fields`"); 2]),
        ("a field twice", r#""fields":{"a":1,"b":2,"a":3}"#.into(), [Same; 2]),
        ("a key that we do not know twice", r#""fields":{},"z":1,"y":2,"z":[3]"#.into(), [Same; 2]),
        ("unknown keys in an odd order", r#""zz":1,"":2,"fields":{"z":1,"":2,"a":3},"aa":{"b":1,"a":2}"#.into(), [Same; 2]),
        (
            "names that Python uses",
            r#""fields":{"__class__":"x","__dict__":{},"__init__":null,"as_dict":1,"_h":2,"items":3,"params":{"__class__":[]}},"__class__":{}"#.into(),
            [Same; 2],
        ),
        ("numbers that a double would change", format!(r#""fields":{{"list":[{}]}}"#, numbers.join(",")), [Same; 2]),
        ("numbers of 400 digits", format!(r#""fields":{{"a":{digits},"b":-{digits},"c":{digits}.5,"d":0.{digits}}}"#), [Same; 2]),
        ("a number of 5,000 digits", format!(r#""fields":{{"a":{}}}"#, "7".repeat(5000)), [Same; 2]),
        ("lone surrogates", r#""fields":{"a":"\ud800","b":["x\udc00"],"c":"\udc00\ud800"}"#.into(), [Same; 2]),
        ("NUL, escaped", r#""fields":{"a":"\u0000","\u0000":"x\u0000y"}"#.into(), [Same; 2]),
        ("other characters", "\"fields\":{\"a\":\"é\u{1f600}\u{7f}\u{85}\u{2028}\",\"é\":\"\\n\\t\\/\"}".into(), [Same; 2]),
        ("empty texts and keys", r#""fields":{"":""},"wf_name":"","participant_name":"""#.into(), [Same; 2]),
        ("wrong types of what we read", r#""fields":{"dispatched_at":[1]},"wf_name":{},"participant_name":7,"re_dispatch_count":"x""#.into(), [Same; 2]),
        ("a time that is none", r#""fields":{"dispatched_at":"99999999999999-99-99 99:99:99.999999999 UTC"}"#.into(), [Same; 2]),
        ("debugged", r#""fields":{"debug_trace":true,"debug_dump":true,"a":["\ud800",1e999]}"#.into(), [Same; 2]),
        ("an error already", r#""fields":{},"error":{"class":"E","message":"m"}"#.into(), [Same; 2]),
        ("forget", r#""fields":{"params":{"forget":true}}"#.into(), [Nothing; 2]),
        ("cancel, as a text", r#""fields":{},"cancel":"true""#.into(), [Same; 2]),
        ("cancel", r#""fields":{},"cancel":true"#.into(), [Nothing; 2]),
        ("fields nested 10,000 deep", format!(r#""fields":{{"a":{}}}"#, deep()), [Error("RecursionError"), Same]),
        ("nested 10,000 deep elsewhere", format!(r#""fields":{{}},"deep":{}"#, deep()), [Error("RecursionError"), Same]),
        ("larger than max_body", format!(r#""fields":{{"a":"{long}"}}"#), [Both("more than max_body"); 2]),
        ("larger than max_body, fields a list", format!(r#""fields":["{long}"]"#), [Both("more than max_body"); 2]),
        ("larger than max_body, forget", format!(r#""fields":{{"forget":true,"a":"{long}"}}"#), [Parked("more than max_body"); 2]),
    ];
    table
}

fn feis() -> Vec<(&'static str, String, [Expect; 2])> {
    let wfid = |wfid: &str| format!(r#"{{"wfid":"{wfid}","subid":"s","expid":"0_0"}}"#);
    let table: Vec<(&str, String, [Expect; 2])> = vec![
        ("fei null", "null".into(), [Parked("no usable fei"); 2]),
        ("fei a list", r#"["e","w","s","0"]"#.into(), [Parked("no usable fei"); 2]),
        ("fei a text", r#""w""#.into(), [Parked("no usable fei"); 2]),
        ("fei without expid", r#"{"wfid":"w"}"#.into(), [Parked("no usable fei"); 2]),
        ("fei without wfid", r#"{"expid":"0"}"#.into(), [Parked("no usable fei"); 2]),
        ("fei without subid and engine", r#"{"wfid":"w","expid":"0"}"#.into(), [Same; 2]),
        ("fei of an older sender", r#"{"wfid":"w","expid":"0","sub_wfid":"s"}"#.into(), [Same; 2]),
        (
            "fei of an older engine's main process",
            r#"{"engine_id":null,"wfid":"w","expid":"0","sub_wfid":null}"#.into(),
            [Same; 2],
        ),
        ("fei of both", r#"{"wfid":"w","expid":"0","subid":null,"sub_wfid":"s"}"#.into(), [Same; 2]),
        ("fei with numbers", r#"{"wfid":1,"expid":0}"#.into(), [Parked("no usable fei"); 2]),
        ("fei nested deep", deep(), [Parked("no usable fei"); 2]),
        ("fei with unknown keys", r#"{"z":1e999,"wfid":"w","expid":"0","a":{}}"#.into(), [Same; 2]),
        ("wfid empty", wfid(""), [Parked("wfid is empty"); 2]),
        ("wfid #", wfid("#"), [Same; 2]),
        ("wfid *.#", wfid("*.#"), [Same; 2]),
        ("wfid ../../x", wfid("../../x"), [Same; 2]),
        ("wfid /tmp/x", wfid("/tmp/x"), [Same; 2]),
        ("wfid ..", wfid(".."), [Same; 2]),
        ("wfid of 100 KB", wfid(&"w".repeat(100_000)), [Same; 2]),
        (
            "wfid of 200 KB",
            wfid(&"w".repeat(200_000)),
            [Same, Error("cannot run cat: Argument list too long")],
        ),
        ("wfid with NUL", wfid(r"a\u0000b"), [Same, Error("cannot run cat: ")]),
        ("wfid with lines", wfid(r"a\nb\r\u001b[31m"), [Same; 2]),
        ("wfid a lone surrogate", wfid(r"\ud800"), [Parked("no usable fei"); 2]),
        ("expid ../../x", r#"{"wfid":"../x","subid":"../../y","expid":"../../x"}"#.into(), [Same; 2]),
    ];
    table
}

fn broken() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let fei = r#""fei":{"wfid":"w","expid":"0"}"#;
    let whole = format!(r#"{{"fields":{{}},{fei}}}"#);
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", vec![], Parked("not JSON")),
        ("not UTF-8", [b"{\"a\":\"\xff\",", fei.as_bytes(), b"}"].concat(), Parked("not UTF-8")),
        ("UTF-16", whole.encode_utf16().flat_map(u16::to_le_bytes).collect(), Parked("not JSON")),
        ("with a byte order mark", text(&format!("\u{feff}{whole}")), Parked("not JSON")),
        ("a NUL byte", text(&format!("{{\"fields\":{{\"a\":\"\0\"}},{fei}}}")), Parked("not JSON")),
        ("NUL bytes behind it", text(&format!("{whole}\0\0")), Parked("not JSON")),
        ("cut off", text(&whole[..whole.len() - 1]), Parked("not JSON")),
        ("two", text(&format!("{whole}{whole}")), Parked("not JSON")),
        ("NaN", text(&format!(r#"{{"fields":{{"a":NaN}},{fei}}}"#)), Parked("not JSON")),
        ("a list", text("[1]"), Parked("not a JSON object")),
        ("a list 10,000 deep", text(&deep()), Parked("not a JSON object")),
        ("10,000 deep and cut off", text(&"[".repeat(10_000)), Parked("not JSON")),
        ("no fei", text(r#"{"fields":{}}"#), Parked("no usable fei")),
        ("an odd number", text(&format!(r#"{{"fields":{{"a":01}},{fei}}}"#)), Parked("not JSON")),
        ("larger than max_body and no JSON", vec![b' '; (1 << 20) + 1], Parked("more than max_body")),
    ]
}
