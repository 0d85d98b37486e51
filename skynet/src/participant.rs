//! A participant as its author wrote it or a package installed it: a folder with `run` and `config.exo`.

use crate::boss_conf;
use crate::name;
use crate::tree::{Tree, folders};
use crate::trouble::{Trouble, cannot};
use serde::Deserialize;
use servicedir::names;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The settings in a participant's folder.
pub const CONFIG: &str = "config.exo";
/// The exoskeleton in a participant's folder or service directory.
pub const EXO: &str = "exo";

/// A folder that can be enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its name: that of the folder.
    pub name: String,
    /// The folder, absolute, without links.
    pub dir: PathBuf,
    /// How many service directories it gets.
    pub instances: u32,
}

impl Participant {
    /// Finds what `word` means: a path when it has a slash in it or is `.`, else the name of one that has a
    /// service directory or is installed.
    ///
    /// # Errors
    /// When there is no such participant, or it cannot be run.
    pub fn find(tree: &Tree, word: &str) -> Result<Self, Trouble> {
        if word.contains('/') || word == "." || word == ".." {
            return Self::at(Path::new(word));
        }
        name::check(word)?;
        if let Some(dir) = source(&tree.service(word)) {
            return Self::at(&dir);
        }
        let installed = tree.installed().join(word);
        if installed.is_dir() {
            return Self::at(&installed);
        }
        if Path::new(word).join(names::RUN).exists() {
            return Err(Trouble::Failed(format!(
                "no participant {word:?} is installed; the folder here is meant by: skynet enable ./{word}"
            )));
        }
        let mut known = folders(&tree.installed())?;
        known.extend(tree.pick(&[])?);
        let hint = match name::nearest(word, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "make one with: skynet new NAME, then skynet enable ./NAME".to_owned(),
        };
        Err(Trouble::NoSuch(format!("no participant {word:?} ({hint})")))
    }

    /// The participant in this folder.
    ///
    /// # Errors
    /// When the folder is not there, has a bad name, or cannot be run.
    pub fn at(folder: &Path) -> Result<Self, Trouble> {
        let dir = fs::canonicalize(folder).map_err(cannot("enable", folder.display()))?;
        // A link under another name is that other name: one folder of code, several participants.
        let named = folder.file_name().filter(|_| folder.is_symlink()).or(dir.file_name());
        let name = named.unwrap_or_default().to_string_lossy().into_owned();
        name::check(&name)?;
        check_run(&dir.join(names::RUN))?;
        if dir.join(names::LOG).is_dir() {
            check_run(&dir.join(names::LOG).join(names::RUN))?;
        }
        let instances = Settings::read(&dir)?.instances.map_or(1, NonZeroU32::get);
        Ok(Self { name, dir, instances })
    }

    /// The service directories it gets.
    pub fn services(&self) -> Vec<String> {
        name::instances(&self.name, self.instances)
    }
}

/// The folder whose `run` a service directory links to; `None` where it is no service directory of ours.
pub fn source(service: &Path) -> Option<PathBuf> {
    let run = fs::read_link(service.join(names::RUN)).ok()?;
    run.parent().map(Path::to_owned)
}

fn check_run(run: &Path) -> Result<(), Trouble> {
    let trouble = |why: &str| Err(Trouble::Failed(format!("cannot run {}: {why}", run.display())));
    match fs::metadata(run) {
        Err(_) => trouble("it is missing (\"skynet new\" shows what belongs into a participant's folder)"),
        Ok(meta) if !meta.is_file() => trouble("it is not a file"),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            trouble(&format!("it is not executable (repair: chmod +x {})", run.display()))
        }
        Ok(_) => Ok(()),
    }
}

/// What this program needs to know of a `config.exo`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// How many service directories there are; none said = 1.
    pub instances: Option<NonZeroU32>,
    /// The participant's name; none said = that of its service directory.
    pub name: Option<String>,
    /// Its queue; none said = its name.
    pub queue: Option<String>,
}

impl Settings {
    /// Reads `config.exo` in a participant's folder or service directory; all defaults where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or a value has the wrong type; with file and line.
    pub fn read(dir: &Path) -> Result<Self, Trouble> {
        let path = dir.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(cannot("read", path.display())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(cannot("read", path.display())(e)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| boss_conf::one_line(text, &e))
    }

    /// The queue of the participant `name`.
    pub fn queue<'a>(&'a self, name: &'a str) -> &'a str {
        self.queue.as_deref().or(self.name.as_deref()).unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_the_name_unless_the_configuration_says_otherwise() {
        for (text, queue) in [("", "a"), ("name = \"b\"", "b"), ("name = \"b\"\nqueue = \"c\"", "c")] {
            assert_eq!(Settings::parse(text).unwrap().queue("a"), queue);
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        assert_eq!(Settings::parse("instances = 3").unwrap().instances, NonZeroU32::new(3));
        for text in ["\ninstances = \"3\"", "\ninstances = 0", "\nqueue = 5", "\nqueue = = x"] {
            let line = Settings::parse(text).unwrap_err();
            assert!(line.starts_with("line 2: "), "{text:?}: {line}");
        }
    }
}
