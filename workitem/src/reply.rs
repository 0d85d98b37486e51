//! What is sent back when the handler could not write it: the workitem with an error.

use crate::Unusable;
use crate::entries::Entries;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An error as the engine understands it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// A class that Ruby knows; an unknown one makes the engine lose the reply.
    pub class: String,
    /// What happened: `ValueError: boom`.
    pub message: String,
    /// Where, innermost last: ``/x/y.py:12: in `handle_wi'``.
    pub trace: Vec<String>,
}

/// The workitem with this error in place of any it had. All other keys keep their bytes and their order.
///
/// # Errors
/// The body is not a JSON object.
pub fn with_error(body: &[u8], error: &ErrorInfo) -> Result<Vec<u8>, Unusable> {
    let text = str::from_utf8(body).map_err(|e| Unusable::NotUtf8 { at: e.valid_up_to() })?;
    let not_json = |e: serde_json::Error| Unusable::NotJson { reason: e.to_string() };
    let mut entries = serde_json::from_str::<Entries<'_>>(text).map_err(not_json)?.0;
    entries.retain(|(key, _)| key != "error");
    let mut out = Vec::with_capacity(body.len() + 256);
    let mut serializer = serde_json::Serializer::new(&mut out);
    WithError { entries: &entries, error }.serialize(&mut serializer).map_err(not_json)?;
    Ok(out)
}

struct WithError<'a> {
    entries: &'a [(String, &'a RawValue)],
    error: &'a ErrorInfo,
}

impl Serialize for WithError<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len() + 1))?;
        for (key, value) in self.entries {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("error", self.error)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boom() -> ErrorInfo {
        ErrorInfo {
            class: "RuntimeError".into(),
            message: "ValueError: boom".into(),
            trace: vec!["/x/y.py:12: in `handle_wi'".into()],
        }
    }

    #[test]
    fn everything_but_the_error_keeps_its_bytes_and_its_order() {
        let body = br#"{"z":1e400,"fields":{"n": 1.10, "s":"\ud800"},"error":null,"a":123456789012345678901234567890}"#;
        let reply = String::from_utf8(with_error(body, &boom()).unwrap()).unwrap();
        assert_eq!(
            reply,
            concat!(
                r#"{"z":1e400,"fields":{"n": 1.10, "s":"\ud800"},"a":123456789012345678901234567890,"#,
                r#""error":{"class":"RuntimeError","message":"ValueError: boom","trace":["/x/y.py:12: in `handle_wi'"]}}"#
            )
        );
    }

    #[test]
    fn what_is_no_object_cannot_carry_an_error() {
        assert!(with_error(b"[]", &boom()).is_err());
        assert!(with_error(b"\xff", &boom()).is_err());
    }
}
