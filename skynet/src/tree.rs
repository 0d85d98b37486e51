//! The tree a command works on: a home, or the system's.

use crate::glob;
use crate::name;
use crate::participant;
use crate::trouble::{Trouble, cannot};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct Tree {
    home: Option<PathBuf>,
}

impl Tree {
    /// The tree that is meant: the system's if asked for; else `$SKYNET_HOME`; else `~/.skynet`, unless
    /// root has none.
    ///
    /// # Errors
    /// When neither variable says where a home could be, or it is no path for one.
    pub fn choose(system: bool) -> Result<Self, Trouble> {
        if system {
            return Ok(Self { home: None });
        }
        if let Some(home) = std::env::var_os("SKYNET_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(home).map_err(cannot("resolve", "$SKYNET_HOME"))?;
            return Self::in_home(home);
        }
        let usual = usual_home()?;
        let is_home = ["boss.conf", "service", "run"].iter().any(|name| usual.join(name).exists());
        let system = nix::unistd::geteuid().is_root() && !is_home;
        if system { Ok(Self { home: None }) } else { Self::in_home(usual) }
    }

    /// The home that is meant, also where there is none yet.
    ///
    /// # Errors
    /// As [`Tree::choose`]; and when the system's tree was asked for, which is systemd's to start.
    pub fn choose_home(system: bool) -> Result<Self, Trouble> {
        if system {
            let line = "\"skynet local\" is for a home; the system's SkyNET is started by systemd: systemctl start skynet";
            return Err(Trouble::Usage(line.to_owned()));
        }
        let tree = Self::choose(false)?;
        if tree.home.is_some() { Ok(tree) } else { Self::in_home(usual_home()?) }
    }

    /// Paths in settings and in JSON are text.
    fn in_home(home: PathBuf) -> Result<Self, Trouble> {
        if home.to_str().is_none() {
            let line = format!(
                "{} cannot be a home: its path is no UTF-8 (choose another with SKYNET_HOME)",
                home.display()
            );
            return Err(Trouble::Usage(line));
        }
        Ok(Self { home: Some(home) })
    }

    /// The home in this folder.
    #[cfg(test)]
    pub fn at(home: &Path) -> Self {
        Self { home: Some(home.to_owned()) }
    }

    /// The folder of the home; `None` for the system's tree.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// `path` in the home, or the place it has in the system's tree.
    pub fn place(&self, in_home: &str, in_system: &str) -> PathBuf {
        match &self.home {
            Some(home) => home.join(in_home),
            None => PathBuf::from(in_system),
        }
    }

    /// The settings that all participants share.
    pub fn boss_conf(&self) -> PathBuf {
        self.place("boss.conf", "/etc/boss/boss.conf")
    }

    /// The folder of service directories.
    pub fn scan_dir(&self) -> PathBuf {
        self.place("service", "/var/lib/boss/service")
    }

    /// The service directory of this name.
    pub fn service(&self, name: &str) -> PathBuf {
        self.scan_dir().join(name)
    }

    /// The folder of all logs.
    pub fn logs(&self) -> PathBuf {
        self.place("log", "/var/log/boss")
    }

    /// The folder of all states.
    pub fn states(&self) -> PathBuf {
        self.place("participants", "/var/lib/boss/participants")
    }

    /// Where packages install participants.
    pub fn installed(&self) -> PathBuf {
        PathBuf::from("/usr/lib/boss/participant-services")
    }

    /// The names of all services in the scan directory, sorted.
    ///
    /// # Errors
    /// What reading the directory reports, other than that it is not there.
    pub fn services(&self) -> Result<Vec<String>, Trouble> {
        folders(&self.scan_dir())
    }

    /// The services that `names` mean: a participant's name means all its instances, a pattern all that match;
    /// none at all means every participant.
    ///
    /// # Errors
    /// [`Trouble::NoSuch`] for an unknown name, with the nearest.
    pub fn pick(&self, names: &[String]) -> Result<Vec<String>, Trouble> {
        let known = self.services()?;
        select(&known, &self.as_services(names)?).map_err(|unknown| self.unknown(&unknown, &known))
    }

    /// The names, where the settings give a participant another than its folder has: its service's in its place.
    ///
    /// # Errors
    /// What reading the scan directory reports.
    pub fn as_services(&self, names: &[String]) -> Result<Vec<String>, Trouble> {
        let known = self.services()?;
        let named = |service: &&String, name: &String| {
            let settings = participant::settings(self, &self.service(service)).ok().flatten();
            settings.is_some_and(|(settings, _)| settings.name == *name)
        };
        let one = |name: &String| {
            let own = known.iter().any(|service| service == name || name::participant(service) == name);
            let other =
                known.iter().filter(|_| !own && !glob::is_pattern(name)).find(|service| named(service, name));
            other.map_or_else(|| name.clone(), |service| name::participant(service).to_owned())
        };
        Ok(names.iter().map(one).collect())
    }

    /// The line about an unknown name.
    pub fn unknown(&self, unknown: &str, known: &[String]) -> Trouble {
        if glob::is_pattern(unknown) {
            let line = format!("no participant matches {unknown:?} (\"skynet status\" lists them)");
            return Trouble::NoSuch(line);
        }
        let hint = match name::nearest(unknown, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.iter().all(|name| name == name::BROKER) => {
                "none is enabled yet: skynet new NAME, skynet enable ./NAME".to_owned()
            }
            None => "\"skynet status\" lists them".to_owned(),
        };
        Trouble::NoSuch(format!("no participant {unknown:?} in {} ({hint})", self.scan_dir().display()))
    }
}

/// Which of the `known` services the `names` mean, each once; the first unknown name otherwise.
pub fn select(known: &[String], names: &[String]) -> Result<Vec<String>, String> {
    let all = known.iter().filter(|service| *service != name::BROKER);
    if names.is_empty() {
        return Ok(all.cloned().collect());
    }
    let mut picked: Vec<String> = vec![];
    for wanted in names {
        let meant = |service: &&String| match glob::is_pattern(wanted) {
            true => *service != name::BROKER && glob::matches(wanted, service),
            false => *service == wanted || name::participant(service) == wanted,
        };
        let mut meant = known.iter().filter(meant).peekable();
        if meant.peek().is_none() {
            return Err(wanted.clone());
        }
        let fresh: Vec<_> = meant.filter(|service| !picked.contains(service)).cloned().collect();
        picked.extend(fresh);
    }
    Ok(picked)
}

/// The names of the folders in `dir` that do not begin with a dot, sorted; none where `dir` is not there.
pub fn folders(dir: &Path) -> Result<Vec<String>, Trouble> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(cannot("read", dir.display())(e)),
    };
    let mut names = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(cannot("read", dir.display()))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && entry.path().is_dir()
        {
            names.insert(name, ());
        }
    }
    Ok(names.into_keys().collect())
}

fn usual_home() -> Result<PathBuf, Trouble> {
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(Path::new(&home).join(".skynet")),
        None => Err(Trouble::Usage("neither $SKYNET_HOME nor $HOME is set: set one of them".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_means_all_its_instances_and_no_name_means_every_participant() {
        let known = strings(&["a", "a@2", "ab", "skynet-broker"]);
        for (names, picked) in [
            (&[][..], &["a", "a@2", "ab"][..]),
            (&["a"], &["a", "a@2"]),
            (&["a@2"], &["a@2"]),
            (&["ab", "a", "a@2"], &["ab", "a", "a@2"]),
            (&["skynet-broker"], &["skynet-broker"]),
            (&["*"], &["a", "a@2", "ab"]),
            (&["a?", "a@*"], &["ab", "a@2"]),
        ] {
            assert_eq!(select(&known, &strings(names)), Ok(strings(picked)), "{names:?}");
        }
        assert_eq!(select(&known, &strings(&["a", "b"])), Err("b".to_owned()));
    }
}
