//! The fields of a workitem from the command line, and what a reply changed in them. Values keep their bytes: a number
//! may have more digits than a double.

use crate::say::one_line;
use crate::trouble::{Trouble, cannot};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::io::Read;
use std::path::Path;
use workitem::entries::Entries;

/// An object, from a JSON file (`-` = standard input), then what the command line says on top.
///
/// # Errors
/// What cannot be read, or is no field.
pub fn gather(file: Option<&Path>, words: &[String]) -> Result<Box<RawValue>, Trouble> {
    let gathered = match file {
        None => RawValue::from_string("{}".to_owned()).map_err(cannot("make", "the fields"))?,
        Some(path) => read(path)?,
    };
    words.iter().try_fold(gathered, |gathered, word| add(&gathered, word)).map_err(Trouble::Usage)
}

fn read(path: &Path) -> Result<Box<RawValue>, Trouble> {
    let mut text = vec![];
    let standard_input = path.as_os_str() == "-";
    let read = match standard_input {
        true => std::io::stdin().read_to_end(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text)),
    };
    let place = if standard_input { "standard input".into() } else { path.display().to_string() };
    if read.is_err() && place.trim_start().starts_with('{') {
        let line = "--fields-json takes the name of a file, or - for standard input: \
                    echo '{\"KEY\": VALUE}' | skynet … --fields-json - (or: --field KEY=VALUE)";
        return Err(Trouble::Usage(line.to_owned()));
    }
    read.map_err(cannot("read", &place))?;
    let bad = |why: String| Trouble::Usage(format!("the fields in {place} are no JSON object: {why}"));
    let text = String::from_utf8(text).map_err(|_| bad("it is not UTF-8".to_owned()))?;
    Entries::read(&text).map_err(|e| bad(e.to_string()))?;
    RawValue::from_string(text).map_err(|e| bad(e.to_string()))
}

/// The object with `KEY=VALUE` added. Dots in the key nest; the value is JSON if it can be read as such, else text.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn add(object: &RawValue, field: &str) -> Result<Box<RawValue>, String> {
    let (key, value) =
        field.split_once('=').ok_or_else(|| format!("{field:?} is not of the form KEY=VALUE"))?;
    let value = RawValue::from_string(value.to_owned()).or_else(|_| to_raw_value(value));
    let value = value.map_err(|e| format!("{field:?}: {e}"))?;
    let steps: Vec<_> = key.split('.').collect();
    if steps.iter().any(|step| step.is_empty()) {
        return Err(format!("{field:?} has an empty key"));
    }
    put(object, &steps, &value).map_err(|why| format!("{field:?}: {why}"))
}

/// The object with the value where the steps lead to.
fn put(object: &RawValue, steps: &[&str], value: &RawValue) -> Result<Box<RawValue>, String> {
    let [step, further @ ..] = steps else { return Ok(value.to_owned()) };
    let mut entries = Entries::read(object.get()).map_err(|e| e.to_string())?;
    let new = match entries.get(step) {
        _ if further.is_empty() => value.to_owned(),
        Some(inner) if inner.get().starts_with('{') => put(inner, further, value)?,
        Some(_) => return Err(format!("{step:?} is no object")),
        None => put(&to_raw_value(&Entries::default()).map_err(|e| e.to_string())?, further, value)?,
    };
    entries.set(step, &new);
    to_raw_value(&entries).map_err(|e| e.to_string())
}

/// One line per field of `after` that is new or other than in `before`, or that is gone.
pub fn changes(before: &Entries, after: &Entries) -> Vec<String> {
    let changed = after.0.iter().filter(|(key, value)| !before.get(key).is_some_and(|old| same(old, value)));
    let gone = before.0.iter().filter(|(key, _)| after.get(key).is_none());
    let changed = changed.map(|(key, value)| one_line(&format!("{key} = {}", value.get())));
    changed.chain(gone.map(|(key, _)| one_line(&format!("{key} is gone")))).collect()
}

/// Whether two values are the same, whatever space stands in them and however their texts are escaped. A number is
/// what it is written as.
fn same(a: &RawValue, b: &RawValue) -> bool {
    let (a, b) = (a.get(), b.get());
    match (a.as_bytes().first(), b.as_bytes().first()) {
        _ if a == b => true,
        (Some(b'{'), Some(b'{')) => {
            let (Ok(a), Ok(b)) = (Entries::read(a), Entries::read(b)) else { return false };
            let has = |(key, value): &(String, &RawValue)| b.get(key).is_some_and(|other| same(value, other));
            a.0.len() == b.0.len() && a.0.iter().all(has)
        }
        (Some(b'['), Some(b'[')) => {
            let list = serde_json::from_str::<Vec<&RawValue>>;
            let (Ok(a), Ok(b)) = (list(a), list(b)) else { return false };
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
        }
        (Some(b'"'), Some(b'"')) => {
            let text = serde_json::from_str::<Value>;
            matches!((text(a), text(b)), (Ok(a), Ok(b)) if a == b)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn fields(words: &[&str]) -> Result<Value, String> {
        let made = words.iter().try_fold(raw("{}"), |made, word| add(&made, word))?;
        Ok(serde_json::from_str(made.get()).unwrap())
    }

    #[test]
    fn a_value_is_json_if_it_can_be_read_as_such_else_text() {
        for (word, value) in [
            ("a=1", json!({"a": 1})),
            ("a=one", json!({"a": "one"})),
            ("a=\"1\"", json!({"a": "1"})),
            ("a=[1,{\"b\":null}]", json!({"a": [1, {"b": null}]})),
            ("a=", json!({"a": ""})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a=word word", json!({"a": "word word"})),
        ] {
            assert_eq!(fields(&[word]), Ok(value), "{word}");
        }
    }

    #[test]
    fn a_number_keeps_its_digits() {
        for number in ["12345678901234567890123", "1e400", "1.10", "-0.0", "0.1234567890123456789"] {
            let made = add(&raw("{\"b\":18446744073709551617}"), &format!("a.c={number}")).unwrap();
            assert_eq!(made.get(), format!("{{\"b\":18446744073709551617,\"a\":{{\"c\":{number}}}}}"));
        }
    }

    #[test]
    fn dots_in_a_key_nest() {
        let nested = fields(&["a.b.c=1", "a.b.d=x", "a.e=true", "a.e=false"]);
        assert_eq!(nested, Ok(json!({"a": {"b": {"c": 1, "d": "x"}, "e": false}})));
    }

    #[test]
    fn nonsense_gets_one_line() {
        for (words, line) in [
            (&["a"][..], "\"a\" is not of the form KEY=VALUE"),
            (&["=1"], "\"=1\" has an empty key"),
            (&["a..b=1"], "\"a..b=1\" has an empty key"),
            (&["a=1", "a.b=2"], "\"a.b=2\": \"a\" is no object"),
        ] {
            assert_eq!(fields(words), Err(line.to_owned()));
        }
    }

    #[test]
    fn only_what_changed_is_told() {
        let before =
            r#"{"same":1,"spaced":{"a":[1,"\u00e4"]},"other":"x","big":12345678901234567890123,"lost":null}"#;
        let after = "{\"same\":1,\"spaced\":{ \"a\": [1, \"ä\"] },\"other\":\"y\",\"big\":12345678901234567890124,\n\
                     \"new\":{\"a\":\n[]}}";
        let (before, after) = (Entries::read(before).unwrap(), Entries::read(after).unwrap());
        let told = ["other = \"y\"", "big = 12345678901234567890124", "new = {\"a\": []}", "lost is gone"];
        assert_eq!(changes(&before, &after), told);
        assert!(changes(&before, &before).is_empty());
    }
}
