//! Whether a workitem's fields are as the participant asks for, before its handler sees them.

use regex::Regex;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// What one field must be.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its type: `string`, `number`, `integer`, `boolean`, `list` or `dict`; `None` = any.
    pub kind: Option<String>,
    /// Whether it must be there, and not null.
    pub required: bool,
    /// What a text must match, somewhere in it.
    pub pattern: Option<Regex>,
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    fields: HashMap<Cow<'a, str>, &'a RawValue>,
}

/// Everything in the workitem's fields that breaks a rule, each in a few words that name the field.
pub fn violations(rules: &[Rule], body: &[u8]) -> Vec<String> {
    if rules.is_empty() {
        return vec![];
    }
    let text = str::from_utf8(body).unwrap_or_default();
    match serde_json::from_str::<Outer<'_>>(text) {
        Ok(outer) => {
            rules.iter().filter_map(|rule| rule.broken_by(outer.fields.get(rule.name.as_str()))).collect()
        }
        Err(e) => vec![format!("the fields cannot be read: {e}")],
    }
}

impl Rule {
    fn broken_by(&self, value: Option<&&RawValue>) -> Option<String> {
        let name = &self.name;
        let raw = match value.map(|raw| raw.get().trim()) {
            None | Some("null") if self.required => return Some(format!("{name} is missing")),
            None | Some("null") => return None,
            Some(raw) => raw,
        };
        let found = kind(raw);
        if let Some(wanted) = &self.kind
            && found != wanted
            && !(wanted == "number" && found == "integer")
        {
            return Some(format!("{name} must be {}, and is {}", with_article(wanted), with_article(found)));
        }
        let pattern = self.pattern.as_ref()?;
        // A text that UTF-8 has no form for matches nothing.
        let text = serde_json::from_str::<Cow<'_, str>>(raw).ok();
        if text.is_some_and(|text| pattern.is_match(&text)) {
            return None;
        }
        Some(format!("{name} does not match {pattern}"))
    }
}

fn kind(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'"') => "string",
        Some(b'[') => "list",
        Some(b'{') => "dict",
        Some(b't' | b'f') => "boolean",
        _ if raw.contains(['.', 'e', 'E']) => "number",
        _ => "integer",
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind == "integer" { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, kind: &str, required: bool, pattern: &str) -> Rule {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let pattern = some(pattern).map(|text| Regex::new(&text).unwrap());
        Rule { name: name.into(), kind: some(kind), required, pattern }
    }

    #[test]
    fn every_violation_is_named() {
        let rules = [
            rule("project", "string", true, "^[A-Za-z:]+$"),
            rule("count", "integer", false, ""),
            rule("rate", "number", false, ""),
            rule("on", "boolean", false, ""),
            rule("list", "list", false, ""),
            rule("ev", "dict", true, ""),
            rule("any", "", false, ""),
        ];
        for (fields, found) in [
            (r#"{"project":"A:b","ev":{},"count":-1,"rate":1,"on":true,"list":[],"any":0}"#, &[][..]),
            (r#"{"project":"A","ev":{},"rate":1e9,"count":null,"extra":1}"#, &[]),
            ("{}", &["project is missing", "ev is missing"]),
            (r#"{"project":null,"ev":[]}"#, &["project is missing", "ev must be a dict, and is a list"]),
            (r#"{"project":"A1","ev":{}}"#, &["project does not match ^[A-Za-z:]+$"]),
            (r#"{"project":"\ud800","ev":{}}"#, &["project does not match ^[A-Za-z:]+$"]),
            (
                r#"{"project":7,"ev":{},"count":1.0,"rate":"1","on":0,"list":{}}"#,
                &[
                    "project must be a string, and is an integer",
                    "count must be an integer, and is a number",
                    "rate must be a number, and is a string",
                    "on must be a boolean, and is an integer",
                    "list must be a list, and is a dict",
                ],
            ),
        ] {
            assert_eq!(violations(&rules, format!(r#"{{"fields":{fields}}}"#).as_bytes()), found, "{fields}");
        }
    }

    #[test]
    fn without_rules_nothing_is_read() {
        assert!(violations(&[], b"no JSON").is_empty());
    }
}
