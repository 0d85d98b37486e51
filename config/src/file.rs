//! A file checked against the schema. Every complaint names file, line, key, and what to write instead.

use crate::original::Original;
use crate::schema::{FIELD, KEYS, Key, Kind};
use crate::value::{self, convert};
use crate::{ini, original, syntax};
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
    #[error("cannot read {}: {}", file.display(), words(error))]
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

/// Where each key of ours stands; dots lead into tables.
pub type Places = BTreeMap<String, Place>;

/// The words of an error without its number.
pub fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// A top-level value and where it stands.
pub type Values = BTreeMap<String, (toml::Value, Place)>;

/// What a file says.
#[derive(Debug, Default)]
pub struct Checked {
    /// The known keys. The values have the type that the schema asks for.
    pub known: Values,
    /// Where each of them stands.
    pub places: Places,
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

/// A file as it would be with another text.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Which.
    pub file: &'a Path,
    /// Its text.
    pub text: &'a str,
}

impl Draft<'_> {
    /// Whether it is of this file, whatever path leads to that.
    pub fn is_of(&self, file: &Path) -> bool {
        self.file == file
            || file.canonicalize().is_ok_and(|file| self.file.canonicalize().is_ok_and(|own| own == file))
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
        lines.error(at, syntax::complaint(lines.line(at), e.message()))
    })?;
    let mut checked = Checked::default();
    for (key, value) in table.get_ref() {
        match KEYS.iter().find(|known| known.name == key.get_ref()) {
            Some(known) => lines.take_ours(known, key.span().start, value, &mut checked)?,
            None if value.get_ref().is_table() => lines.take_own(key, value, &mut checked),
            None => return Err(lines.unknown(key.span().start, key.get_ref(), KEYS)),
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

    /// The line that this offset is in.
    fn line(&self, offset: usize) -> &str {
        self.text.lines().nth(self.place(offset).line - 1).unwrap_or_default()
    }

    fn error(&self, offset: usize, reason: String) -> ConfigError {
        ConfigError::At { place: self.place(offset), reason }
    }

    fn unknown(&self, offset: usize, name: &str, known: &[Key]) -> ConfigError {
        let near = nearest(name, known.iter().map(|key| key.name));
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
        self.error(offset, format!("unknown key \"{name}\"{hint}"))
    }

    /// One of our keys at the top.
    fn take_ours(
        &self,
        key: &Key,
        offset: usize,
        value: &Spanned<DeValue<'_>>,
        checked: &mut Checked,
    ) -> Result<(), ConfigError> {
        let (name, place) = (key.name.to_owned(), self.place(offset));
        self.check(&name, key.kind, value, &mut checked.places)?;
        let converted = convert(value.get_ref());
        if let Kind::Open(keys) = key.kind {
            if let DeValue::Table(table) = value.get_ref() {
                checked.warnings.extend(self.slips(&name, keys, table));
            }
            checked.own.insert(name.clone(), (converted.clone(), place.clone()));
        }
        checked.places.insert(name.clone(), place.clone());
        checked.known.insert(name, (converted, place));
        Ok(())
    }

    /// A table of the participant's own.
    fn take_own(&self, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>, checked: &mut Checked) {
        let (name, place) = (key.get_ref().to_string(), self.place(key.span().start));
        if let Some(near) = slip(&name, KEYS.iter().filter(|key| key.kind.is_table())) {
            let warning = format!("{place}: [{name}] is the participant's own; did you mean [{near}]?");
            checked.warnings.push(warning);
        }
        checked.own.insert(name, (convert(value.get_ref()), place));
    }

    fn check(
        &self,
        name: &str,
        kind: Kind,
        value: &Spanned<DeValue<'_>>,
        places: &mut Places,
    ) -> Result<(), ConfigError> {
        match (kind, value.get_ref()) {
            (Kind::Table(keys), DeValue::Table(table)) => self.check_table(name, keys, table, true, places),
            (Kind::Open(keys), DeValue::Table(table)) => self.check_table(name, keys, table, false, places),
            (Kind::Fields, DeValue::Table(table)) => table.iter().try_for_each(|(field, rules)| {
                self.check(&format!("fields.{}", field.get_ref()), Kind::Table(FIELD), rules, places)
            }),
            (kind, found) => match value::complaint(name, kind, found) {
                Some(reason) => Err(self.error(value.span().start, reason)),
                None => Ok(()),
            },
        }
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
        places: &mut Places,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            match keys.iter().find(|known| known.name == key.get_ref()) {
                Some(known) => {
                    let name = format!("{name}.{}", known.name);
                    self.check(&name, known.kind, value, places)?;
                    places.insert(name, self.place(key.span().start));
                }
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
    let known = KEYS.iter().find(|key| key.name == name);
    match known.and_then(|key| value::complaint(name, key.kind, &DeValue::String(text.into()))) {
        Some(reason) => Err(ConfigError::At { place: place.clone(), reason }),
        None => Ok(()),
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
mod tests;
