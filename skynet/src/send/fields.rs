//! The fields of a workitem from the command line, and what a reply changed in them.

use crate::trouble::{Trouble, cannot};
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;

/// Fields from a JSON file (`-` = standard input), then those of the command line on top.
///
/// # Errors
/// What cannot be read, or is no field.
pub fn gather(file: Option<&Path>, words: &[String]) -> Result<Map<String, Value>, Trouble> {
    let mut gathered = match file {
        None => Map::new(),
        Some(path) => {
            let mut text = vec![];
            let read = if path.as_os_str() == "-" {
                std::io::stdin().read_to_end(&mut text)
            } else {
                std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text))
            };
            read.map_err(cannot("read", path.display()))?;
            let place =
                if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
            let bad = |e| Trouble::Usage(format!("the fields in {place} are no JSON object: {e}"));
            serde_json::from_slice(&text).map_err(bad)?
        }
    };
    for word in words {
        add(&mut gathered, word).map_err(Trouble::Usage)?;
    }
    Ok(gathered)
}

/// Adds `KEY=VALUE` to the fields. Dots in the key nest; the value is JSON if it can be read as such, else text.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn add(fields: &mut Map<String, Value>, field: &str) -> Result<(), String> {
    let (key, value) =
        field.split_once('=').ok_or_else(|| format!("{field:?} is not of the form KEY=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let mut steps: Vec<_> = key.split('.').collect();
    let last = steps.pop().unwrap_or_default();
    if last.is_empty() || steps.iter().any(|step| step.is_empty()) {
        return Err(format!("{field:?} has an empty key"));
    }
    let mut inner = fields;
    for step in steps {
        let next = inner.entry(step).or_insert_with(|| Value::Object(Map::new()));
        inner = next.as_object_mut().ok_or_else(|| format!("{field:?}: {step:?} is no object"))?;
    }
    inner.insert(last.to_owned(), value);
    Ok(())
}

/// One line per field of `after` that is new or other than in `before`, or that is gone.
pub fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let changed = changed.map(|(key, value)| format!("{key} = {value}"));
    changed.chain(gone.map(|key| format!("{key} is gone"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(words: &[&str]) -> Result<Value, String> {
        let mut fields = Map::new();
        words.iter().try_for_each(|word| add(&mut fields, word))?;
        Ok(Value::Object(fields))
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
        let map = |value: Value| value.as_object().cloned().unwrap();
        let before = map(json!({"same": 1, "other": "x", "lost": null}));
        let after = map(json!({"same": 1, "other": "y", "new": {"a": []}}));
        assert_eq!(changes(&before, &after), ["other = \"y\"", "new = {\"a\":[]}", "lost is gone"]);
        assert!(changes(&before, &before).is_empty());
    }
}
