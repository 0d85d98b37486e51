//! Where things lie: system-wide, or under a home directory.

use std::path::PathBuf;

/// A tree of SkyNET: the machine's, or somebody's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: Option<PathBuf>,
}

impl Home {
    /// The tree that `$SKYNET_HOME` names, else the machine's.
    pub fn from_env() -> Self {
        Self::at(std::env::var_os("SKYNET_HOME").filter(|v| !v.is_empty()).map(PathBuf::from))
    }

    /// A tree under this folder; `None` = the machine's.
    pub fn at(root: Option<PathBuf>) -> Self {
        // Whoever uses these paths may change directory before.
        Self { root: root.map(|root| std::path::absolute(&root).unwrap_or(root)) }
    }

    /// The settings of the whole tree.
    pub fn boss_conf(&self) -> PathBuf {
        self.place("boss.conf", "/etc/boss/boss.conf")
    }

    /// The folder of the original's files: skynet.conf, conf.d, NAME.conf, skynet.env, NAME.env.
    pub fn original(&self) -> PathBuf {
        self.place("skynet", "/etc/skynet")
    }

    /// The state folder of a participant.
    pub fn state_dir(&self, name: &str) -> PathBuf {
        self.place("participants", "/var/lib/boss/participants").join(name)
    }

    fn place(&self, below: &str, system_wide: &str) -> PathBuf {
        match &self.root {
            Some(root) => root.join(below),
            None => PathBuf::from(system_wide),
        }
    }
}
