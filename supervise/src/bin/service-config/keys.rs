//! The one table of keys of service.toml: what each takes and what it sets. The manual's table comes from it.

use config::units;
use nix::sys::resource::RLIM_INFINITY;
use servicedir::policy::{Codes, Limit, Policy, RESOURCES};
use std::path::Path;
use std::time::Duration;
use toml::Value;
use unix::process::Signal;

/// One key.
pub struct Key {
    /// Its table, and its name in it; a key at the top has none.
    pub name: &'static str,
    /// What to write, for complaints and for the manual.
    pub takes: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Sets it; `None` = that is not what it takes.
    pub set: fn(&mut Policy, &Value) -> Option<()>,
}

/// All keys but those of `[limits]`, which are the names in [`RESOURCES`].
pub const KEYS: &[Key] = &[
    Key {
        name: "ready",
        takes: "\"fd:N\" with N from 3 to 63",
        default: "ready after a second",
        meaning: "The service writes a newline to descriptor N when it is ready. The number is also in its variable SKYNET_NOTIFY_FD.",
        set: |policy, value| {
            let number: i32 = value.as_str()?.strip_prefix("fd:")?.parse().ok()?;
            policy.ready = Some(number).filter(|number| (3..64).contains(number));
            policy.ready.map(drop)
        },
    },
    Key {
        name: "stop.signal",
        takes: "the name of a signal like \"TERM\"",
        default: "\"TERM\"",
        meaning: "What asks the service to stop.",
        set: |policy, value| {
            policy.stop.signal = signal(value.as_str()?)?;
            Some(())
        },
    },
    Key {
        name: "stop.grace",
        takes: "a duration like \"30s\" from 10ms to 7d",
        default: "for ever",
        meaning: "How long it has before KILL.",
        set: |policy, value| {
            policy.stop.grace = Some(time(value, 7)?);
            Some(())
        },
    },
    Key {
        name: "stop.group",
        takes: "true or false",
        default: "false",
        meaning: "The service gets a session of its own. All its processes are asked to stop, and what is left of them when `run` has ended is killed.",
        set: |policy, value| {
            policy.stop.group = value.as_bool()?;
            Some(())
        },
    },
    Key {
        name: "finish.limit",
        takes: "a duration like \"30s\" from 10ms to 7d, or \"0s\" for none",
        default: "\"1m\"",
        meaning: "How long `finish` or `stop` may take before KILL.",
        set: |policy, value| {
            let none = units::duration(value.as_str()?)?.is_zero();
            policy.finish_limit = if none { None } else { Some(time(value, 7)?) };
            Some(())
        },
    },
    Key {
        name: "backoff.first",
        takes: "a duration like \"1s\" from 10ms to 7d",
        default: "\"1s\"",
        meaning: "The least time between two starts.",
        set: |policy, value| {
            policy.backoff.first = time(value, 7)?;
            Some(())
        },
    },
    Key {
        name: "backoff.factor",
        takes: "a number like 2.0 from 1 to 100",
        default: "1.0",
        meaning: "What each failure multiplies that time with. More than 1 needs `max`.",
        set: |policy, value| {
            policy.backoff.factor = thousandths(value, 1.0, 100.0)?;
            Some(())
        },
    },
    Key {
        name: "backoff.max",
        takes: "a duration like \"5m\" from 10ms to 7d",
        default: "`first`",
        meaning: "The most that the time between two starts becomes.",
        set: |policy, value| {
            policy.backoff.max = time(value, 7)?;
            Some(())
        },
    },
    Key {
        name: "backoff.jitter",
        takes: "a number like 0.2 from 0 to 1",
        default: "0.0",
        meaning: "The share by which chance may lengthen that time.",
        set: |policy, value| {
            policy.backoff.jitter = thousandths(value, 0.0, 1.0)?;
            Some(())
        },
    },
    Key {
        name: "backoff.reset",
        takes: "a duration like \"1m\" from 10ms to 30d",
        default: "\"1m\"",
        meaning: "After so long a run the service counts as well: failures are forgotten, and `recovered` is told.",
        set: |policy, value| {
            policy.backoff.reset = time(value, 30)?;
            Some(())
        },
    },
    Key {
        name: "exit.done",
        takes: "a list of exit codes from 0 to 255",
        default: "[]",
        meaning: "After one of these codes the service has finished and stays down.",
        set: |policy, value| {
            policy.done = codes(value)?;
            Some(())
        },
    },
    Key {
        name: "exit.permanent",
        takes: "a list of exit codes from 0 to 255",
        default: "[]",
        meaning: "After one of these codes it has failed for good, stays down, and `failed` is told.",
        set: |policy, value| {
            policy.permanent = codes(value)?;
            Some(())
        },
    },
    Key {
        name: "notify.command",
        takes: "a list of texts: a program and its arguments",
        default: "that of config.exo, of boss.conf",
        meaning: "What is run when the service has crashed, must wait, has failed for good or has recovered; [] = nothing.",
        set: |policy, value| {
            policy.notify = command(value)?;
            Some(())
        },
    },
];

/// The table of keys as the manual has it.
pub fn table() -> String {
    let mut out = String::from("| key | takes | without it | meaning |\n|---|---|---|---|\n");
    for Key { name, takes, default, meaning, .. } in KEYS {
        out += &format!("| `{name}` | {takes} | {default} | {meaning} |\n");
    }
    let names = RESOURCES.map(|(name, _)| format!("`limits.{name}`"));
    out + &format!("| {} | {LIMIT} | as supervise has it | setrlimit(2), soft and hard |\n", names.join(", "))
}

/// What a resource limit takes.
pub const LIMIT: &str = "a whole number, a size like \"2G\", or \"unlimited\"";

/// Reads a resource limit, soft and hard at once.
pub fn limit(policy: &mut Policy, name: &str, value: &Value) -> Option<()> {
    let resource = RESOURCES.iter().find(|(known, _)| *known == name)?.1;
    let most = match value {
        Value::Integer(number) => u64::try_from(*number).ok()?,
        Value::String(text) if text == "unlimited" => RLIM_INFINITY,
        Value::String(text) => units::size(text)?,
        _ => return None,
    };
    policy.limits.push(Limit { resource, soft: most, hard: most });
    Some(())
}

/// The words of a command, the first as a path: where it is none it is looked up in PATH.
pub fn command(value: &Value) -> Option<Vec<String>> {
    let words: Option<Vec<String>> =
        value.as_array()?.iter().map(|word| Some(word.as_str()?.to_owned())).collect();
    let mut words = words?;
    let nameless = words.first().is_some_and(String::is_empty);
    if nameless || words.iter().any(|word| word.contains(['\n', '\r', '\0'])) {
        return None;
    }
    if let Some(program) = words.first_mut()
        && !program.contains('/')
    {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let found = path.split(':').map(|dir| Path::new(dir).join(&program)).find(|file| file.is_file());
        // Not found: it may come later, and a run that fails is said.
        *program = found
            .and_then(|file| file.to_str().map(str::to_owned))
            .unwrap_or_else(|| format!("/usr/bin/{program}"));
    }
    Some(words)
}

/// A signal by its name, with or without SIG.
pub fn signal(name: &str) -> Option<Signal> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    format!("SIG{bare}").parse().ok()
}

fn time(value: &Value, most_days: u64) -> Option<Duration> {
    let time = units::duration(value.as_str()?)?;
    let range = Duration::from_millis(10)..=Duration::from_secs(most_days * 24 * 3600);
    range.contains(&time).then_some(time)
}

fn thousandths(value: &Value, least: f64, most: f64) -> Option<u32> {
    let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64))?; // small, or out of range
    (least..=most).contains(&number).then(|| (number * 1000.0).round() as u32) // in range it fits
}

fn codes(value: &Value) -> Option<Codes> {
    value.as_array()?.iter().map(|code| u8::try_from(code.as_integer()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manual_has_the_table_of_keys() {
        let manual = include_str!("../../../../docs/reference/service.toml.md");
        assert!(
            manual.contains(&super::table()),
            "put this into docs/reference/service.toml.md:\n{}",
            super::table()
        );
    }
}
