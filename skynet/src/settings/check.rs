//! All settings files that participants of this tree read: can they be used?

use crate::participant::{self, CONFIG, Participant};
use crate::say::{self, say};
use crate::tree::{Tree, folders};
use crate::trouble::{Outcome, Trouble, cannot};
use config::file::Draft;
use config::settings::load_with;
use config::{ConfigError, Home};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What was found out about one file.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file.
    pub file: PathBuf,
    /// What keeps it from being used; with its line.
    pub error: Option<String>,
    /// What looks like a slip of the pen.
    pub warnings: Vec<String>,
}

/// Prints what is wrong. Exit code 1 when something is.
pub fn run(tree: &Tree, word: Option<&str>, json: bool) -> Outcome {
    let checked = match word {
        None => check(tree)?,
        Some(word) => {
            let dir = Participant::locate(tree, word)?;
            let dir = dir.canonicalize().map_err(cannot("find", dir.display()))?;
            if !dir.join(CONFIG).exists() {
                let line = format!("there is no {CONFIG} in {}: nothing to check", dir.display());
                return Err(Trouble::Failed(line));
            }
            check_those(tree, [dir].into())
        }
    };
    if json {
        say::json(&checked).map_err(cannot("write", "the result"))?;
    }
    for one in &checked {
        for warning in &one.warnings {
            say!("warning: {warning}");
        }
        match &one.error {
            Some(error) => say!("wrong:   {error}"),
            None if one.warnings.is_empty() => say!("good:    {}", one.file.display()),
            None => {}
        }
    }
    Ok(u8::from(checked.iter().any(|one| one.error.is_some())))
}

/// Checks `boss.conf` and the files of all participants that have a service directory or are installed.
///
/// # Errors
/// What reading the folders reports.
pub fn check(tree: &Tree) -> Result<Vec<Checked>, Trouble> {
    Ok(check_those(tree, participants(tree)?))
}

/// Checks `boss.conf` and the files of the participants in these folders.
fn check_those(tree: &Tree, dirs: BTreeSet<PathBuf>) -> Vec<Checked> {
    let boss_conf = tree.boss_conf();
    let shared = match config::file::read(&boss_conf) {
        Ok(said) => Checked { file: boss_conf, error: None, warnings: said.warnings },
        Err(e) => Checked { file: boss_conf, error: Some(e.to_string()), warnings: vec![] },
    };
    let boss_conf_is_good = shared.error.is_none();
    let mut checked = vec![shared];
    for dir in dirs {
        let file = dir.join(CONFIG);
        match participant::usable(tree, &dir) {
            Ok(Some((_, warnings))) => checked.push(Checked { file, error: None, warnings }),
            Ok(None) => {}
            // Told once is enough.
            Err(_) if !boss_conf_is_good && config::file::read(&file).is_ok() => {}
            Err(e) => checked.push(Checked { file, error: Some(e.to_string()), warnings: vec![] }),
        }
    }
    checked
}

/// Whether participants, this one or all, could still read their settings with this file. One that cannot now is no
/// reason against what may be its repair.
///
/// # Errors
/// What keeps one of them from it, with file and line.
pub fn whole(tree: &Tree, participant: Option<&Path>, draft: Draft<'_>) -> Result<(), ConfigError> {
    let home = Home::at(tree.home().map(Path::to_owned));
    // What there is no participant for is nobody's yet.
    let dirs =
        participant.map_or_else(|| participants(tree).unwrap_or_default(), |dir| [dir.to_owned()].into());
    let files = dirs.iter().map(|dir| dir.join(CONFIG)).filter(|file| config::load(&home, file).is_ok());
    files.into_iter().try_for_each(|file| load_with(&home, &file, Some(draft)).map(drop))
}

fn participants(tree: &Tree) -> Result<BTreeSet<PathBuf>, Trouble> {
    let services = tree.pick(&[])?;
    let sources = services.iter().map(|name| {
        let dir = tree.service(name);
        participant::source(&dir).unwrap_or(dir)
    });
    let installed = folders(&tree.installed())?.into_iter().map(|name| tree.installed().join(name));
    Ok(sources.chain(installed).collect())
}
