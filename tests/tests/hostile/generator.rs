//! Makes hostile workitems without end, the same ones from the same seed.

use super::Body;
use std::time::{SystemTime, UNIX_EPOCH};

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1e999",
    "-1E+400",
    "1e-400",
    "0.1000000000000000055511151231257827",
    "1E5",
    "123456789012345678901234567890",
];
const STRINGS: &[&str] = &[
    "",
    r"\u0000",
    r"\ud800",
    r"\udc00x",
    "../../x",
    "#",
    "*",
    "a.b",
    "é\u{1f600}",
    r"\n",
    r#"\""#,
    "__class__",
    "/etc/passwd",
    "%s%n",
    "{}",
    "2026-11-20 19:53:41.107153 UTC",
    "99999999999-99-99 99:99:99 UTC",
];
const KEYS: &[&str] = &[
    "",
    "a",
    "__class__",
    "__dict__",
    "__init__",
    "fields",
    "params",
    "fei",
    "wfid",
    "a.b",
    r"\u0000",
    "debug_trace",
    "debug_dump",
    "é",
];
const TOP: &[&str] = &[
    "fei",
    "fields",
    "wf_name",
    "wf_revision",
    "participant_name",
    "cancel",
    "flavour",
    "error",
    "re_dispatch_count",
    "trace",
    "x",
];

/// Makes them.
pub struct Generator {
    /// What the sequence began with.
    pub seed: u64,
    state: u64,
    made: u64,
}

impl Generator {
    /// From SKYNET_HOSTILE_SEED, or from the time.
    pub fn new() -> Self {
        let given = std::env::var("SKYNET_HOSTILE_SEED").ok().and_then(|text| text.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(now) | 1;
        println!("seed: SKYNET_HOSTILE_SEED={seed}");
        Self { seed, state: seed, made: 0 }
    }

    /// Below a bound (xorshift).
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick(&mut self, list: &[&str]) -> String {
        list[self.below(list.len())].to_owned()
    }

    /// The next.
    pub fn next(&mut self) -> Body {
        self.made += 1;
        let number = 1_000_000 + self.made;
        let is_cancel = self.one_in(20);
        let mut keys: Vec<String> = (0..self.below(6)).map(|_| self.pick(TOP)).collect();
        // Mostly such that it can be worked on, or at least be answered.
        for wanted in ["fei", "fields"] {
            if !self.one_in(8) && !keys.iter().any(|key| key == wanted) {
                keys.insert(self.below(keys.len() + 1), wanted.to_owned());
            }
        }
        if is_cancel {
            keys.retain(|key| key != "cancel");
        }
        let mut text = format!(r#"{{"n":{number}"#);
        for key in keys {
            let value = self.value_of(&key);
            text += &format!(r#","{key}":{value}"#);
        }
        if is_cancel {
            text += r#","cancel":true"#;
        }
        let mut bytes = (text + "}").into_bytes();
        if !is_cancel && self.one_in(4) {
            self.damage(&mut bytes);
        }
        Body { number, what: "generated".into(), bytes, is_cancel }
    }

    fn value_of(&mut self, key: &str) -> String {
        match key {
            "fei" if !self.one_in(4) => {
                let [wfid, expid] =
                    [(); 2].map(|()| if self.one_in(3) { self.value(1) } else { "\"w\"".into() });
                format!(r#"{{"engine_id":"e","wfid":{wfid},"subid":"s","expid":{expid}}}"#)
            }
            "fields" if !self.one_in(4) => {
                let entries: Vec<_> = (0..self.below(5)).map(|_| self.entry(3)).collect();
                format!("{{{}}}", entries.join(","))
            }
            // Whether it is true decides who answers.
            "cancel" => "1".into(),
            _ => self.value(3),
        }
    }

    fn entry(&mut self, depth: usize) -> String {
        format!(r#""{}":{}"#, self.pick(KEYS), self.value(depth))
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => "null".into(),
            1 => ["true", "false"][self.below(2)].into(),
            2 => self.pick(NUMBERS),
            3 if self.one_in(30) => "9".repeat(400),
            3 => format!("\"{}\"", self.pick(STRINGS)),
            4 if self.one_in(20) => format!("\"{}\"", "x".repeat(100_000)),
            4 if self.one_in(20) => format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
            4 => "{}".into(),
            5 | 6 => {
                let list: Vec<_> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", list.join(","))
            }
            _ => {
                let entries: Vec<_> = (0..self.below(4)).map(|_| self.entry(depth - 1)).collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    /// Changes, cuts or adds a few bytes behind the number.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const NUMBER: usize = r#"{"n":1000001"#.len();
        for _ in 0..1 + self.below(3) {
            let at = NUMBER + self.below(bytes.len() - NUMBER);
            let byte = self.below(256) as u8;
            match self.below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(NUMBER + 1)),
            }
        }
    }
}
