//! The files that make a participant's settings, in the order they are read. The last wins:
//!
//! | file | form |
//! |---|---|
//! | `skynet.conf` of the original | INI |
//! | `boss.conf` | TOML, or INI where it looks like it |
//! | the configuration file | the same |
//! | `conf.d/*.conf` of the original, or `[skynet] include_dir` | INI |
//! | `NAME.conf` of the original | INI |
//!
//! Environment variables come from `skynet.env`, `[program:NAME]` and `NAME.env`, in this order.

use crate::file::{self, Checked, ConfigError, Draft, Place, Places, Values};
use crate::original::{self, Original};
use crate::{Home, address, names, paths};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a handler gets of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The file.
    pub file: PathBuf,
    /// Whether it is the participant's own: then it may hold what only root can read.
    pub own: bool,
    /// Whether a fault in it is no reason not to start.
    pub optional: bool,
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
}

/// The form of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// The participant's own tables.
    Toml(toml::Table),
    /// The whole text.
    Ini(String),
}

/// What all files say together.
#[derive(Debug, Default)]
pub struct Layers {
    /// The known keys.
    pub values: Values,
    /// Where each of them stands.
    pub places: Places,
    /// What the handler gets.
    pub layers: Vec<Layer>,
    /// What looks like a slip of the pen, or could not be read.
    pub warnings: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// `[skynet] log_level`.
    pub log_level: Option<String>,
    /// Variables for the participant.
    pub environment: Vec<(String, String)>,
    /// Whether the configuration file is of the original's form.
    pub original: bool,
    program: Option<String>,
    include_dir: Option<PathBuf>,
}

/// Reads all files of the participant whose configuration file this is. `folder_name` names a participant that has no
/// other name; a `draft` stands in the place of a file.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn read(
    home: &Home,
    config: &Path,
    folder_name: &str,
    draft: Option<Draft<'_>>,
) -> Result<Layers, ConfigError> {
    let mut all = Layers::default();
    let mut program_environment = vec![];
    let [skynet, boss] = [home.original().join("skynet.conf"), home.boss_conf()];
    all.take_original(&skynet, false)?;
    for (path, own) in [(boss.as_path(), false), (config, true)] {
        let draft = draft.filter(|draft| draft.is_of(path));
        let checked = match draft {
            Some(draft) => file::check(path, draft.text)?,
            None => file::read(path)?,
        };
        all.original = checked.original.is_some();
        if let Some(original) = &checked.original {
            program_environment.clone_from(&original.environment);
            all.program.clone_from(&original.program);
        }
        if draft.is_some() || path.exists() {
            all.add(path, checked, own, false);
        }
    }
    all.include(home);
    let name = all.name().unwrap_or_else(|| folder_name.to_owned());
    // What cannot be a participant's name is refused later, and no file's name until then.
    let named = names::is_participant(&name).then(|| home.original().join(&name));
    if let Some(named) = &named {
        all.take_original(&with(named, "conf"), true)?;
    }
    all.take_variables(&home.original().join("skynet.env"))?;
    all.environment.append(&mut program_environment);
    if let Some(named) = &named {
        all.take_variables(&with(named, "env"))?;
    }
    Ok(all)
}

/// The path with `.extension` added: a name may hold dots of its own.
fn with(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// A file's text; one that does not exist has none.
fn read_text(file: &Path) -> Result<Option<String>, ConfigError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Read { file: file.into(), error }),
    }
}

impl Layers {
    /// The participant's name, as far as files say it.
    fn name(&self) -> Option<String> {
        let said = self.values.get("name").and_then(|(name, _)| name.as_str());
        said.map(str::to_owned).or_else(|| self.program.clone())
    }

    /// The name of `[program:NAME]`, where there is one.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// A file that is INI whatever it looks like.
    fn take_original(&mut self, path: &Path, own: bool) -> Result<(), ConfigError> {
        if let Some(text) = read_text(path)? {
            let checked = original::check(path, &text)?;
            self.add(path, checked, own, false);
        }
        Ok(())
    }

    /// A file of variables.
    fn take_variables(&mut self, path: &Path) -> Result<(), ConfigError> {
        if let Some(text) = read_text(path)? {
            self.environment.extend(original::variables_of_file(&text));
            self.files.push(path.into());
        }
        Ok(())
    }

    /// The folder of files that participants share. One that cannot be read is left out, with a warning.
    fn include(&mut self, home: &Home) {
        let folder = self.include_dir.clone().unwrap_or_else(|| home.original().join("conf.d"));
        let mut files: Vec<_> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
            .collect();
        files.sort();
        for path in files {
            let text = read_text(&path);
            match text.and_then(|text| original::check(&path, &text.unwrap_or_default())) {
                Ok(checked) => self.add(&path, checked, false, true),
                Err(e) => self.warnings.push(format!("{e}; what it says is not used")),
            }
        }
    }

    fn add(&mut self, path: &Path, mut checked: Checked, own: bool, optional: bool) {
        let real = path.canonicalize().unwrap_or_else(|_| path.into());
        let folder = real.parent().unwrap_or(Path::new("/"));
        paths::resolve(&mut checked.known, folder);
        merge(&mut self.values, checked.known);
        self.places.append(&mut checked.places);
        self.warnings.append(&mut checked.warnings);
        self.files.push(path.into());
        let content = match checked.original {
            Some(original) => {
                self.obey(&original, folder);
                Content::Ini(original.text)
            }
            None => Content::Toml(checked.own.into_iter().map(|(name, (table, _))| (name, table)).collect()),
        };
        self.layers.push(Layer { file: path.into(), own, optional, content });
    }

    fn obey(&mut self, original: &Original, folder: &Path) {
        if let Some(level) = &original.log_level {
            self.log_level = Some(level.clone());
        }
        if let Some(dir) = &original.include_dir {
            self.include_dir = Some(folder.join(dir));
        }
        if let Some((_, place)) = original.boss.values().next() {
            let parts = original.boss.iter().map(|(key, (value, _))| (*key, value.as_str())).collect();
            self.take_address(&parts, place.clone());
        }
    }

    /// Puts the parts of an address in the place of those of the first broker that was named before.
    fn take_address(&mut self, parts: &BTreeMap<&str, &str>, place: Place) {
        let mut amqp = match self.values.remove("amqp") {
            Some((toml::Value::Table(amqp), _)) => amqp,
            _ => toml::Table::new(),
        };
        let first = amqp.get("url").or_else(|| amqp.get("urls")?.get(0)).and_then(toml::Value::as_str);
        let url = address::with_parts(first, parts);
        amqp.remove("urls");
        amqp.insert("url".into(), toml::Value::String(url));
        self.places.insert("amqp".into(), place.clone());
        self.values.insert("amqp".into(), (toml::Value::Table(amqp), place));
    }
}

/// The later file wins; of tables, each key.
fn merge(values: &mut Values, later: Values) {
    for (key, (value, place)) in later {
        match (values.get_mut(&key), value) {
            (Some((toml::Value::Table(old), old_place)), toml::Value::Table(new)) => {
                if key == "amqp" {
                    forget_brokers(old, &new);
                }
                overlay(old, new);
                *old_place = place;
            }
            (_, value) => {
                values.insert(key, (value, place));
            }
        }
    }
}

/// One file's brokers are not another's: where the later `[amqp]` names some, the earlier ones go, and their certificates
/// where the new ones need none.
fn forget_brokers(old: &mut toml::Table, new: &toml::Table) {
    if !new.contains_key("url") && !new.contains_key("urls") {
        return;
    }
    if over_tls(old) && !over_tls(new) {
        old.remove("tls");
    }
    old.remove("url");
    old.remove("urls");
}

/// Whether a broker of `[amqp]` is spoken to over TLS.
fn over_tls(amqp: &toml::Table) -> bool {
    let urls = amqp.get("urls").and_then(toml::Value::as_array).into_iter().flatten();
    amqp.get("url").into_iter().chain(urls).filter_map(toml::Value::as_str).any(names::is_tls)
}

fn overlay(old: &mut toml::Table, new: toml::Table) {
    for (key, value) in new {
        match (old.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => overlay(old, new),
            (_, value) => {
                old.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
