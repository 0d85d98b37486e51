//! A participant as its author wrote it or a package installed it: a folder with `run` and `config.exo`.

use crate::name;
use crate::stopping;
use crate::tree::{Tree, folders};
use crate::trouble::{Trouble, cannot};
use config::settings::{Loaded, USERS};
use config::{Home, Settings, certificates, handler};
use nix::unistd::{User, geteuid};
use servicedir::names;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a service may take beyond its grace.
const MARGIN: Duration = Duration::from_secs(15);

/// The settings in a participant's folder.
pub const CONFIG: &str = names::CONFIG_EXO;
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
    /// The one of them that was named, as `NAME@2`.
    pub only: Option<String>,
    /// What looks like a slip of the pen in its settings.
    pub warnings: Vec<String>,
}

impl Participant {
    /// Finds what `word` means: a path when it has a slash in it or is `.`, else the name of one that has a
    /// service directory or is installed.
    ///
    /// # Errors
    /// When there is no such participant, or it cannot be run.
    pub fn find(tree: &Tree, word: &str) -> Result<Self, Trouble> {
        let whole = name::participant(word);
        if whole == word || word.contains('/') {
            return Self::at(tree, &Self::locate(tree, word)?);
        }
        let found = Self::at(tree, &Self::locate(tree, whole)?)?;
        if !found.services().iter().any(|service| service == word) {
            let n = found.instances;
            let line = format!(
                "no instance {word:?}: {whole} has instances = {n} (skynet config {whole} set instances N)"
            );
            return Err(Trouble::NoSuch(line));
        }
        Ok(Self { only: Some(word.to_owned()), ..found })
    }

    /// The folder that `word` means, whatever state it is in.
    ///
    /// # Errors
    /// When there is none.
    pub fn locate(tree: &Tree, word: &str) -> Result<PathBuf, Trouble> {
        if word.contains('/') || word == "." || word == ".." {
            let folder = PathBuf::from(word);
            if folder.is_file() {
                let of = folder.parent().unwrap_or(&folder).display();
                let line = format!("{word} is a file: a participant is named by its folder ({of})");
                return Err(Trouble::Failed(line));
            }
            return Ok(folder);
        }
        name::check(word)?;
        if let Some(dir) = source(&tree.service(word)) {
            return Ok(dir);
        }
        let installed = tree.installed().join(word);
        if installed.is_dir() {
            return Ok(installed);
        }
        if Path::new(word).join(names::RUN).exists() {
            return Err(Trouble::Failed(format!(
                "no participant {word:?} is enabled or installed (the folder here is ./{word}, with a slash)"
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
    pub fn at(tree: &Tree, folder: &Path) -> Result<Self, Trouble> {
        let dir = fs::canonicalize(folder).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Trouble::NoSuch(format!("there is no folder {} (skynet new makes one)", folder.display()))
            }
            _ => cannot("look into", folder.display())(e),
        })?;
        // A link under another name is that other name: one folder of code, several participants.
        let named = folder.file_name().filter(|_| folder.is_symlink()).or(dir.file_name());
        let name = named.unwrap_or_default().to_string_lossy().into_owned();
        name::check(&name)?;
        check_run(&dir.join(names::RUN))?;
        if dir.join(names::LOG).is_dir() {
            check_run(&dir.join(names::LOG).join(names::RUN))?;
        }
        let loaded = settings(tree, &dir)?;
        if loaded.is_some() && dir.to_str().is_none() {
            return Err(Trouble::Failed(format!(
                "cannot run {}: its path is no UTF-8, and exo takes no other (give the folder another name)",
                dir.display()
            )));
        }
        let instances = loaded.as_ref().map_or(1, |(settings, _)| settings.instances);
        let warnings = loaded.map_or_else(Vec::new, |(_, warnings)| warnings);
        Ok(Self { name, dir, instances, only: None, warnings })
    }

    /// The service directories it gets.
    pub fn services(&self) -> Vec<String> {
        name::instances(&self.name, self.instances)
    }

    /// Those of them that were named: all, or one.
    pub fn meant(&self) -> Vec<String> {
        self.only.clone().map_or_else(|| self.services(), |one| vec![one])
    }
}

/// The folder whose `run` a service directory links to; `None` where it is no service directory of ours.
pub fn source(service: &Path) -> Option<PathBuf> {
    let run = fs::read_link(service.join(names::RUN)).ok()?;
    run.parent().map(Path::to_owned)
}

/// That what a service directory leads to is there and can be run.
///
/// # Errors
/// Why it could not be started, with what to do.
pub fn startable(service: &Path) -> Result<(), Trouble> {
    let is_gone = |folder: &Path| fs::metadata(folder).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    if let Some(folder) = source(service).filter(|folder| is_gone(folder)) {
        let name = service.file_name().unwrap_or_default().display();
        return Err(Trouble::Failed(format!(
            "its folder {} is gone (put it back, or: skynet remove {name})",
            folder.display()
        )));
    }
    let own = |run: PathBuf| fs::read_link(&run).unwrap_or(run);
    check_run(&own(service.join(names::RUN)))
}

fn check_run(run: &Path) -> Result<(), Trouble> {
    let trouble = |why: &str| Err(Trouble::Failed(format!("cannot run {}: {why}", run.display())));
    match fs::metadata(run) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(cannot("run", run.display())(e)),
        Err(_) => trouble("it is missing (\"skynet new\" shows what belongs into a participant's folder)"),
        Ok(meta) if !meta.is_file() => trouble("it is not a file"),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            trouble(&format!("it is not executable (repair: chmod +x {})", run.display()))
        }
        Ok(_) => Ok(()),
    }
}

/// The settings of the participant whose folder or service directory `dir` is, with what looks like a slip of
/// the pen; `None` where there is no `config.exo`.
///
/// # Errors
/// What is wrong with them, with file and line.
pub fn settings(tree: &Tree, dir: &Path) -> Result<Option<Loaded>, Trouble> {
    let path = dir.join(CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let home = Home::at(tree.home().map(Path::to_owned));
    Ok(Some(config::load(&home, &path)?))
}

/// The same, where what does the work is there, too, and the certificates, and whom it runs as.
///
/// # Errors
/// As above.
pub fn usable(tree: &Tree, dir: &Path) -> Result<Option<Loaded>, Trouble> {
    let loaded = settings(tree, dir)?;
    if let Some((settings, _)) = &loaded {
        // Its PATH is not ours.
        handler::check(settings, &dir.join(CONFIG), None)?;
        certificates::check(settings, &dir.join(CONFIG), false)?;
        if let Some(why) = nobody_becomes(tree, settings) {
            return Err(Trouble::Failed(format!("{}: {why}", dir.join(CONFIG).display())));
        }
    }
    Ok(loaded)
}

/// Why exo cannot become the user that the settings name.
fn nobody_becomes(tree: &Tree, settings: &Settings) -> Option<String> {
    let user = settings.user.as_ref()?;
    if matches!(User::from_name(user), Ok(None)) {
        return Some(format!("there is no account {user}"));
    }
    // Whose home it is starts it, whoever asks.
    let owner = fs::metadata(tree.home()?).ok()?.uid();
    let owner = User::from_uid(owner.into()).ok().flatten()?;
    let other = !owner.uid.is_root() && owner.name != *user;
    other.then(|| format!("user = {user:?}: only root can become another"))
}

/// Whom a participant of this tree runs as: root's become the user that the settings name, or the usual one.
pub fn user(tree: &Tree, settings: &Settings) -> Option<User> {
    if tree.home().is_some() && !geteuid().is_root() {
        return User::from_uid(geteuid()).ok().flatten();
    }
    let find = |name: &str| User::from_name(name).ok().flatten();
    match &settings.user {
        Some(name) => find(name),
        None => USERS.into_iter().find_map(find),
    }
}

/// How long the services in these directories may take to stop: the longest grace, and a little.
pub fn patience(tree: &Tree, dirs: &[PathBuf]) -> Duration {
    let grace = |dir: &PathBuf| Some(settings(tree, dir).ok()??.0.grace);
    let longest = dirs.iter().filter_map(grace).max().unwrap_or_default();
    (longest + MARGIN).max(stopping::PATIENCE)
}
