//! JSON with its order and its numbers: what may not change on the way through a participant.

use serde::Deserialize;
use serde_json::value::RawValue;

/// An object's entries in order, duplicates kept.
pub struct Entries(pub Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A value. Of a key that is there twice the first place and the last value count, as in Python and Ruby.
#[derive(Debug, PartialEq)]
pub enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Dict(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads JSON. Must not be nested deeply.
    pub fn read(json: &str) -> Self {
        match json.trim().bytes().next() {
            Some(b'{') => {
                let mut dict: Vec<(String, Tree)> = vec![];
                for (key, value) in serde_json::from_str::<Entries>(json).unwrap().0 {
                    let value = Self::read(value.get());
                    match dict.iter_mut().find(|(known, _)| *known == key) {
                        Some(entry) => entry.1 = value,
                        None => dict.push((key, value)),
                    }
                }
                Self::Dict(dict)
            }
            Some(b'[') => {
                let list: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap();
                Self::List(list.iter().map(|value| Self::read(value.get())).collect())
            }
            // What UTF-8 has no form for stays as it is written.
            Some(b'"') => Self::Leaf(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
            Some(b'-' | b'0'..=b'9') => Self::Leaf(number(json.trim())),
            _ => Self::Leaf(json.trim().to_owned()),
        }
    }

    /// The same with empty params where it has none: what a handler is given.
    pub fn with_params(mut self) -> Self {
        let Self::Dict(workitem) = &mut self else { return self };
        for (_, fields) in workitem.iter_mut().filter(|(key, _)| key == "fields") {
            let Self::Dict(fields) = fields else { continue };
            match fields.iter_mut().find(|(key, _)| key == "params") {
                Some((_, params)) if *params == Self::Leaf("null".into()) => *params = Self::Dict(vec![]),
                Some(_) => {}
                None => fields.push(("params".into(), Self::Dict(vec![]))),
            }
        }
        self
    }
}

/// A number in one form for all spellings of it; one that a double would change in its own.
fn number(text: &str) -> String {
    if !text.contains(['.', 'e', 'E']) {
        return if text == "-0" { "0".into() } else { text.to_owned() };
    }
    let double: f64 = text.parse().unwrap();
    let exact = decimal(text);
    if double.is_finite() && exact == decimal(&format!("{double:e}")) {
        format!("{exact:?}")
    } else {
        format!("as spelled: {text}")
    }
}

/// Sign, digits without zeros at their ends, and the exponent of the last digit.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent.trim_start_matches('+').parse().unwrap();
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent -= part.len() as i64;
    let digits = format!("{whole}{part}");
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    exponent += (digits.len() - short.len()) as i64;
    if short.is_empty() { (negative, String::new(), 0) } else { (negative, short.to_owned(), exponent) }
}

#[test]
fn numbers_are_the_same_however_they_are_spelled_unless_a_double_changes_them() {
    for (a, b, same) in [
        ("1.0", "1e0", true),
        ("0.1", "0.10", true),
        ("1e5", "100000.0", true),
        ("1E-7", "0.0000001", true),
        ("1e999", "1e1000", false),
        ("1e999", "1e999", true),
        ("0.1", "0.1000000000000000055511151231257827", false),
        ("9007199254740993", "9007199254740992", false),
        ("9007199254740993.0", "9007199254740992.0", false),
        ("1e-400", "0.0", false),
    ] {
        assert_eq!(Tree::read(a) == Tree::read(b), same, "{a} {b}");
    }
}
