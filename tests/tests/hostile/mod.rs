//! Hostile workitems: a table of them, a generator, and how a reply is held against what was sent.

mod cases;
mod generator;
mod tree;

pub use cases::{Expect, cases};
pub use generator::Generator;
pub use tree::Tree;

use serde_json::value::RawValue;

/// A message for a participant, with a number of its own as the top-level key `n`.
#[derive(Clone, Debug)]
pub struct Body {
    pub number: u64,
    pub what: String,
    pub bytes: Vec<u8>,
    /// It asks for something that is never answered.
    pub is_cancel: bool,
}

/// A workitem that is as it should be, but for these entries.
pub fn body(number: u64, what: &str, entries: &str) -> Body {
    with_fei(number, what, entries, r#"{"engine_id":"e","wfid":"w","subid":"s","expid":"0_0"}"#)
}

/// The same with another fei.
pub fn with_fei(number: u64, what: &str, entries: &str, fei: &str) -> Body {
    let text = format!(r#"{{"n":{number},{entries},"fei":{fei},"last":[1,{{"kept":true}}]}}"#);
    Body { number, what: what.to_owned(), bytes: text.into_bytes(), is_cancel: false }
}

/// The entries of a JSON object, in order; `None` where it is none.
pub fn entries(json: &[u8]) -> Option<Vec<(String, Box<RawValue>)>> {
    serde_json::from_slice::<tree::Entries>(json).ok().map(|entries| entries.0)
}

fn entry(json: &[u8], key: &str) -> Option<Box<RawValue>> {
    entries(json)?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// The number of the workitem that was answered.
pub fn number(reply: &[u8]) -> Option<u64> {
    entry(reply, "n")?.get().parse().ok()
}

/// The message of its error; `None` where it has none.
pub fn error(reply: &[u8]) -> Option<String> {
    let message = entry(entry(reply, "error")?.get().as_bytes(), "message")?;
    serde_json::from_str(message.get()).ok()
}
