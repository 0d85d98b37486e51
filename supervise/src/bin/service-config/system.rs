//! `[notify]` of a participant's config.exo, or of the boss.conf of the whole tree: who is told where service.toml
//! does not say so.

use crate::keys;
use config::Home;
use servicedir::names;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The command of `config.exo`; `None` where it has none, or cannot be read: then exo says why.
pub fn of_participant() -> Option<Vec<String>> {
    let file = Path::new(names::CONFIG_EXO);
    // supervise may be root, and whoever may write this file need not be.
    let ours = |meta: &fs::Metadata| meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw();
    fs::metadata(file).ok().filter(|meta| ours(meta) && meta.mode() & 0o022 == 0)?;
    let said = config::file::read(file).ok()?;
    said.known.get("notify").and_then(|(table, _)| table.get("command")).and_then(keys::command)
}

/// The command of boss.conf; empty where there is none. What is wrong with it is added to `troubles`.
pub fn command(troubles: &mut Vec<String>) -> Vec<String> {
    let file = Home::from_env().boss_conf();
    let checked = match config::file::read(&file) {
        Ok(checked) => checked,
        // A service that runs as somebody else may not read it, and has no say in it.
        Err(config::ConfigError::Read { .. }) => return vec![],
        Err(e) => {
            troubles.push(format!("service.toml: [notify] comes from {e}"));
            return vec![];
        }
    };
    let notify = checked.known.get("notify").and_then(|(table, _)| table.get("command"));
    notify.and_then(keys::command).unwrap_or_default()
}
