//! A file checked against the schema. Every complaint names file, line, key, and what to write instead.

use crate::original::Original;
use crate::schema::{FIELD, KEYS, Key, Kind};
use crate::{ini, names, original, units};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A place in a file, for people: `config.exo:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something in a file is wrong.
    #[error("{place}: {reason}")]
    At {
        /// Where.
        place: Place,
        /// What, and what to do.
        reason: String,
    },
    /// Something is wrong that no line can be named for.
    #[error("{}: {reason}", file.display())]
    In {
        /// The file.
        file: PathBuf,
        /// What, and what to do.
        reason: String,
    },
}

/// A top-level value and where it stands.
pub type Values = BTreeMap<String, (toml::Value, Place)>;

/// What a file says.
#[derive(Debug, Default)]
pub struct Checked {
    /// The known keys. The values have the type that the schema asks for.
    pub known: Values,
    /// The tables that are the participant's own, and those that it shares with us.
    pub own: Values,
    /// Names of own tables and keys that look like a slip of the pen.
    pub warnings: Vec<String>,
    /// What it is where it is of the original's form.
    pub original: Option<Original>,
}

/// Reads and checks a file; one that does not exist says nothing.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn read(file: &Path) -> Result<Checked, ConfigError> {
    match fs::read_to_string(file) {
        Ok(text) => check(file, &text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Checked::default()),
        Err(error) => Err(ConfigError::Read { file: file.into(), error }),
    }
}

/// Checks the text of a file.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn check(file: &Path, text: &str) -> Result<Checked, ConfigError> {
    let lines = Lines { file, text };
    if ini::is_ini(text) {
        return original::check(file, text);
    }
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        lines.error(at, e.message().replace('\n', " "))
    })?;
    let mut checked = Checked::default();
    for (key, value) in table.get_ref() {
        let (name, place) = (key.get_ref().to_string(), lines.place(key.span().start));
        match KEYS.iter().find(|key| key.name == name) {
            Some(Key { kind, .. }) => {
                lines.check(&name, *kind, value)?;
                if let (Kind::Open(keys), DeValue::Table(table)) = (kind, value.get_ref()) {
                    checked.warnings.extend(lines.slips(&name, keys, table));
                }
                let value = convert(value.get_ref());
                if let Kind::Open(_) = kind {
                    checked.own.insert(name.clone(), (value.clone(), place.clone()));
                }
                checked.known.insert(name, (value, place));
            }
            None if value.get_ref().is_table() => {
                if let Some(near) = slip(&name, KEYS.iter().filter(|key| key.kind.is_table())) {
                    checked
                        .warnings
                        .push(format!("{place}: [{name}] is the participant's own; did you mean [{near}]?"));
                }
                checked.own.insert(name, (convert(value.get_ref()), place));
            }
            None => return Err(lines.unknown(key.span().start, &name, KEYS)),
        }
    }
    Ok(checked)
}

struct Lines<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place { file: self.file.into(), line: before.matches('\n').count() + 1 }
    }

    fn error(&self, offset: usize, reason: String) -> ConfigError {
        ConfigError::At { place: self.place(offset), reason }
    }

    fn unknown(&self, offset: usize, name: &str, known: &[Key]) -> ConfigError {
        let near = nearest(name, known.iter().map(|key| key.name));
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
        self.error(offset, format!("unknown key \"{name}\"{hint}"))
    }

    fn check(&self, name: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let found = value.get_ref();
        match (kind, found) {
            (Kind::Table(keys), DeValue::Table(table)) => return self.check_table(name, keys, table, true),
            (Kind::Open(keys), DeValue::Table(table)) => return self.check_table(name, keys, table, false),
            (Kind::Fields, DeValue::Table(table)) => {
                for (field, rules) in table {
                    self.check(&format!("fields.{}", field.get_ref()), Kind::Table(FIELD), rules)?;
                }
                return Ok(());
            }
            _ => {}
        }
        if fits(kind, found) {
            return Ok(());
        }
        let at = value.span().start;
        Err(self.error(at, format!("{name} takes {}, not {}", kind.expected(), describe(found))))
    }

    /// The keys of an open table that are the participant's own and look like one of ours.
    fn slips(&self, table: &str, known: &[Key], found: &DeTable<'_>) -> Vec<String> {
        let strange = found.keys().filter(|key| known.iter().all(|known| known.name != key.get_ref()));
        let warning = |key: &Spanned<DeString<'_>>| {
            let (place, name) = (self.place(key.span().start), key.get_ref());
            let near = slip(name, known.iter())?;
            Some(format!("{place}: {name} in [{table}] is the participant's own; did you mean {near}?"))
        };
        strange.filter_map(warning).collect()
    }

    fn check_table(
        &self,
        name: &str,
        keys: &[Key],
        table: &DeTable<'_>,
        closed: bool,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            match keys.iter().find(|known| known.name == key.get_ref()) {
                Some(known) => self.check(&format!("{name}.{}", known.name), known.kind, value)?,
                None if closed => return Err(self.unknown(key.span().start, key.get_ref(), keys)),
                None => {}
            }
        }
        Ok(())
    }
}

/// Complains about a text that does not fit its key, as the TOML form would.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn check_text(place: &Place, name: &str, text: &str) -> Result<(), ConfigError> {
    let value = DeValue::String(text.into());
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) if !fits(key.kind, &value) => {
            let reason = format!("{name} takes {}, not {}", key.kind.expected(), describe(&value));
            Err(ConfigError::At { place: place.clone(), reason })
        }
        _ => Ok(()),
    }
}

fn fits(kind: Kind, value: &DeValue<'_>) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Text => text.is_some(),
        Kind::Name => text.is_some_and(|t| !t.is_empty()),
        Kind::Participant => text.is_some_and(names::is_participant),
        Kind::Queue => text.is_some_and(names::is_queue),
        Kind::Url => text.is_some_and(names::is_broker),
        Kind::Urls => value.as_array().is_some_and(|list| {
            !list.is_empty() && list.iter().all(|v| v.get_ref().as_str().is_some_and(names::is_broker))
        }),
        Kind::Command => value.as_array().is_some_and(|list| {
            list.iter().all(|v| v.get_ref().is_str())
                && list.first().is_none_or(|v| v.get_ref().as_str() != Some(""))
        }),
        Kind::Bool => value.is_bool(),
        Kind::Count(least, most) => integer(value).is_some_and(|n| (least..=most).contains(&n)),
        Kind::Duration => text.is_some_and(|t| units::duration(t).is_some()),
        Kind::Size(least) => text.and_then(units::size).is_some_and(|bytes| bytes >= least),
        Kind::OneOf(words) => text.is_some_and(|t| words.contains(&t)),
        Kind::Pattern => text.is_some_and(|t| regex::Regex::new(t).is_ok()),
        Kind::Class => text.is_some_and(names::is_class),
        Kind::Table(_) | Kind::Open(_) | Kind::Fields => false,
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// What stands there. A text that may be a URL is not shown: it may hold a password.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.contains(['@', '/']) => "this text".into(),
        DeValue::String(text) => format!("\"{}\"", text.escape_debug()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Array(_) => "this list".into(),
        DeValue::Table(_) => "a table".into(),
        other => format!("a {}", other.type_str()),
    }
}

/// The value without its positions. What JSON has no form for becomes a text: the settings travel as JSON.
fn convert(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(n) => {
            integer(value).map_or_else(|| toml::Value::String(n.as_str().to_owned()), toml::Value::Integer)
        }
        DeValue::Float(n) => match n.as_str().replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() => toml::Value::Float(number),
            _ => toml::Value::String(n.as_str().to_owned()),
        },
        DeValue::Boolean(b) => toml::Value::Boolean(*b),
        DeValue::Datetime(t) => toml::Value::String(t.to_string()),
        DeValue::Array(list) => toml::Value::Array(list.iter().map(|v| convert(v.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(k, v)| (k.get_ref().to_string(), convert(v.get_ref()))).collect(),
        ),
    }
}

/// The known name that this one is within two letters of.
fn slip<'a>(name: &str, known: impl Iterator<Item = &'a Key>) -> Option<&'static str> {
    nearest(name, known.map(|key| key.name)).filter(|near| strsim::levenshtein(near, name) <= 2)
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|k| (strsim::damerau_levenshtein(k, name), k)).min()?;
    (near.0 <= 3 && near.0 < name.len()).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_complaint_names_file_line_key_and_what_to_write() {
        for (text, says) in [
            ("quue = \"x\"", "config.exo:1: unknown key \"quue\" (did you mean \"queue\"?)"),
            ("\n[amqp]\nurI = \"x\"", "config.exo:3: unknown key \"urI\" (did you mean \"url\"?)"),
            ("[amqp.tls]\nkay = \"x\"", "config.exo:2: unknown key \"kay\" (did you mean \"key\"?)"),
            (
                "[fields]\nx = { typ = \"string\" }",
                "config.exo:2: unknown key \"typ\" (did you mean \"type\"?)",
            ),
            (
                "concurrency = \"2\"",
                "config.exo:1: concurrency takes a whole number from 1 to 65535, not \"2\"",
            ),
            ("concurrency = 0", "config.exo:1: concurrency takes a whole number from 1 to 65535, not 0"),
            (
                "concurrency = 4294967296",
                "config.exo:1: concurrency takes a whole number from 1 to 65535, not 4294967296",
            ),
            ("prefetch = 70_000", "config.exo:1: prefetch takes a whole number from 0 to 65535, not 70000"),
            ("grace = 60", "config.exo:1: grace takes a duration like \"60s\", not 60"),
            ("grace = \"soon\"", "config.exo:1: grace takes a duration like \"60s\", not \"soon\""),
            ("max_body = \"64 M\"", "config.exo:1: max_body takes a size like \"64M\" above 0, not \"64 M\""),
            ("max_body = \"0\"", "config.exo:1: max_body takes a size like \"64M\" above 0, not \"0\""),
            ("journal_sync = \"yes\"", "config.exo:1: journal_sync takes true or false, not \"yes\""),
            (
                "exec = \"./x\"",
                "config.exo:1: exec takes a list of texts like [\"./work\", \"--fast\"], not this text",
            ),
            (
                "exec = [1]",
                "config.exo:1: exec takes a list of texts like [\"./work\", \"--fast\"], not this list",
            ),
            (
                "queue_type = \"stream\"",
                "config.exo:1: queue_type takes one of classic, quorum, not \"stream\"",
            ),
            ("code = \"\"", "config.exo:1: code takes a text that is not empty, not \"\""),
            ("code = 1979-05-27", "config.exo:1: code takes a text that is not empty, not a datetime"),
            ("amqp = 7", "config.exo:1: amqp takes a table, not 7"),
            ("[failed]\nmax = 0", "config.exo:2: failed.max takes a whole number from 1 on, not 0"),
            ("[amqp.tls]\nca = true", "config.exo:2: amqp.tls.ca takes a text that is not empty, not true"),
            ("[fields]\nx = \"string\"", "config.exo:2: fields.x takes a table, not \"string\""),
            ("zzzzzz = 1", "config.exo:1: unknown key \"zzzzzz\""),
            ("a = 1\nb = ", "config.exo:2: string values must be quoted, expected literal string"),
        ] {
            let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
            assert_eq!(error, says, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_or_no_broker_is_refused_with_its_line() {
        for (text, says) in [
            ("\nname = \"\"", "config.exo:2: name takes a text in quotes that can name a participant"),
            ("\nname = \"../x\"", "config.exo:2: name takes a text in quotes that can name a participant"),
            ("queue = \"\"", "config.exo:1: queue takes a text in quotes that can name a queue"),
            ("queue = \"amq.x\"", "config.exo:1: queue takes a text in quotes that can name a queue"),
            ("[amqp]\n\nurl = \"http://h\"", "config.exo:3: amqp.url takes the URL of a broker"),
            ("[amqp]\nurls = []", "config.exo:2: amqp.urls takes a list of URLs of brokers"),
        ] {
            let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
            assert!(error.starts_with(says) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn no_complaint_shows_the_password() {
        for text in [
            "amqp = \"amqp://boss:s3cret@h\"",
            "[amqp]\nurl = \"http://boss:s3cret@h\"",
            "[amqp]\nurls = [\"http://boss:s3cret@h\"]",
            "[amqp]\nurl = [\"amqp://boss:s3cret@h\"]",
            "concurrency = \"amqp://boss:s3cret@h\"",
            "[amqp]\nurl = \"amqp://boss:s3cret@h",
            "[amqp]\nurl = amqp://boss:s3cret@h",
            "amqp_url = \"amqp://boss:s3cret@h\"",
        ] {
            let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && error.starts_with("config.exo:"), "{error}");
        }
    }

    #[test]
    fn tables_of_ours_that_are_not_closed_may_hold_the_participants_own_keys() {
        let text = "[notify]\ncommand = [\"mail\"]\nsmtp_host = \"h\"\n";
        let checked = check(Path::new("config.exo"), text).unwrap();
        assert_eq!(checked.own["notify"].0["smtp_host"].as_str(), Some("h"));
        assert!(checked.known.contains_key("notify") && checked.warnings.is_empty());

        let text = "[history]\nkept = \"9d\"\n[failed]\nmax = 1\nsise = \"2G\"\n";
        let checked = check(Path::new("config.exo"), text).unwrap();
        let warning = |line, name, table, near| {
            format!("config.exo:{line}: {name} in [{table}] is the participant's own; did you mean {near}?")
        };
        let both = [warning(5, "sise", "failed", "size"), warning(2, "kept", "history", "keep")];
        assert_eq!(checked.warnings, both);
    }

    #[test]
    fn other_tables_are_the_participants_own_with_a_warning_when_they_look_like_a_slip() {
        let text = "[mysection]\nanything = 1\n[ampq]\nurl = \"x\"\n";
        let checked = check(Path::new("config.exo"), text).unwrap();
        assert_eq!(checked.own.keys().collect::<Vec<_>>(), ["ampq", "mysection"]);
        assert_eq!(checked.warnings, ["config.exo:3: [ampq] is the participant's own; did you mean [amqp]?"]);
    }
}
