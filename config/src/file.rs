//! A file checked against the schema. Every complaint names file, line, key, and what to write instead.

use crate::schema::{FIELD, KEYS, Kind};
use crate::units;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
    /// The tables that are the participant's own.
    pub own: Values,
    /// Names of own tables that look like a slip of the pen.
    pub warnings: Vec<String>,
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
    if let Some(line) = text.lines().position(is_ini_header) {
        let reason = "this is the INI form of the original SkyNET, which is not read yet: write TOML".into();
        return Err(ConfigError::At { place: Place { file: file.into(), line: line + 1 }, reason });
    }
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        lines.error(at, e.message().replace('\n', " "))
    })?;
    let mut checked = Checked::default();
    for (key, value) in table.get_ref() {
        let (name, place) = (key.get_ref().to_string(), lines.place(key.span().start));
        match KEYS.iter().find(|(known, _)| *known == name) {
            Some((_, kind)) => {
                lines.check(&name, *kind, value)?;
                checked.known.insert(name, (convert(value.get_ref()), place));
            }
            None if value.get_ref().is_table() => {
                if let Some(near) = nearest_table(&name) {
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

fn is_ini_header(line: &str) -> bool {
    let line = line.trim();
    ["[boss]", "[participant]", "[skynet]"].contains(&line) || line.starts_with("[program:")
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

    fn unknown(&self, offset: usize, name: &str, known: &[(&str, Kind)]) -> ConfigError {
        let near = nearest(name, known.iter().map(|(known, _)| *known));
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
        self.error(offset, format!("unknown key \"{name}\"{hint}"))
    }

    fn check(&self, name: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let found = value.get_ref();
        match (kind, found) {
            (Kind::Table(keys), DeValue::Table(table)) => return self.check_table(name, keys, table),
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

    fn check_table(&self, name: &str, keys: &[(&str, Kind)], table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (key, value) in table {
            match keys.iter().find(|(known, _)| *known == key.get_ref()) {
                Some((known, kind)) => self.check(&format!("{name}.{known}"), *kind, value)?,
                None => return Err(self.unknown(key.span().start, key.get_ref(), keys)),
            }
        }
        Ok(())
    }
}

fn fits(kind: Kind, value: &DeValue<'_>) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Text => text.is_some(),
        Kind::Name => text.is_some_and(|t| !t.is_empty()),
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(|v| v.get_ref().is_str())),
        Kind::Bool => value.is_bool(),
        Kind::Count(least) => integer(value).is_some_and(|n| n >= least && n <= i64::from(u32::MAX)),
        Kind::Duration => text.is_some_and(|t| units::duration(t).is_some()),
        Kind::Size => text.is_some_and(|t| units::size(t).is_some()),
        Kind::OneOf(words) => text.is_some_and(|t| words.contains(&t)),
        Kind::Table(_) | Kind::Fields => false,
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        other => other.type_str().to_string(),
    }
}

/// The value without its positions.
fn convert(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(n) => {
            integer(value).map_or_else(|| toml::Value::String(n.as_str().to_owned()), toml::Value::Integer)
        }
        DeValue::Float(n) => toml::Value::Float(n.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => toml::Value::Boolean(*b),
        DeValue::Datetime(t) => toml::Value::Datetime(*t),
        DeValue::Array(list) => toml::Value::Array(list.iter().map(|v| convert(v.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(k, v)| (k.get_ref().to_string(), convert(v.get_ref()))).collect(),
        ),
    }
}

fn nearest_table(name: &str) -> Option<&'static str> {
    let tables = KEYS.iter().filter(|(_, kind)| matches!(kind, Kind::Table(_) | Kind::Fields));
    nearest(name, tables.map(|(table, _)| *table)).filter(|near| strsim::levenshtein(near, name) <= 2)
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
            ("concurrency = \"2\"", "config.exo:1: concurrency takes a whole number from 1 on, not \"2\""),
            ("concurrency = 0", "config.exo:1: concurrency takes a whole number from 1 on, not integer"),
            ("grace = 60", "config.exo:1: grace takes a duration like \"60s\", not integer"),
            ("queue = \"\"", "config.exo:1: queue takes a text in quotes, not \"\""),
            ("amqp = 7", "config.exo:1: amqp takes a table, not integer"),
            (
                "\n[participant]\nname = x",
                "config.exo:2: this is the INI form of the original SkyNET, which is not read yet: write TOML",
            ),
            ("a = 1\nb = ", "config.exo:2: string values must be quoted, expected literal string"),
        ] {
            let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
            assert_eq!(error, says, "{text}");
        }
    }

    #[test]
    fn other_tables_are_the_participants_own_with_a_warning_when_they_look_like_a_slip() {
        let text = "[mysection]\nanything = 1\n[ampq]\nurl = \"x\"\n";
        let checked = check(Path::new("config.exo"), text).unwrap();
        assert_eq!(checked.own.keys().collect::<Vec<_>>(), ["ampq", "mysection"]);
        assert_eq!(checked.warnings, ["config.exo:3: [ampq] is the participant's own; did you mean [amqp]?"]);
    }
}
