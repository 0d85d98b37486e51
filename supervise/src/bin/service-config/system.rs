//! `[notify]` of the system-wide boss.conf: who is told where a service does not say so itself.

use crate::keys;
use config::Home;

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
