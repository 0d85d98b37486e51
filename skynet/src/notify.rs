//! `skynet notify test [NAME]`: runs the command that is told of problems, as supervise would.
//!
//! Which command that is says `service-config`, the helper that supervise itself asks.

use crate::child::{self, Ended};
use crate::cli::admin::Notify;
use crate::local::svscan;
use crate::say::{self, complain, say};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::time;
use serde_json::json;
use servicedir::names;
use servicedir::policy::Policy;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The event that a command is told of in a test.
const EVENT: &str = "test";
/// How long supervise gives the command.
const LIMIT: Duration = Duration::from_secs(30);
/// Exit code when it was not told, or said that it failed.
const NOT_TOLD: u8 = 1;

/// Runs the command of a service, or the one of `boss.conf`, with a test event.
pub fn run(tree: &Tree, wanted: &Notify, json: bool) -> Outcome {
    let Notify::Test { name } = wanted;
    let (service, dir) = match name {
        Some(name) => {
            let picked = tree.pick(std::slice::from_ref(name))?;
            let service = picked.first().cloned().unwrap_or_else(|| name.clone());
            let dir = tree.service(&service);
            (service, dir)
        }
        None => ("skynet".to_owned(), tree.scan_dir()),
    };
    let command = match name {
        Some(_) => of_service(tree, &service, &dir)?,
        None => of_boss_conf(tree)?,
    };
    let [program, arguments @ ..] = command.as_slice() else {
        let whose = name.as_ref().map_or_else(|| "boss.conf".to_owned(), |_| service.clone());
        let sample = sample();
        return Err(Trouble::Failed(format!(
            "{whose} has no notify command, so nobody is told of problems (one for all: skynet config set \
             notify.command '[\"{}\", \"root\"]')",
            sample.display()
        )));
    };
    say!("telling {} of the event {EVENT:?} of {service} …", command.join(" "));
    let told = tell(tree, &service, &dir, (program, arguments))?;
    told.output.lines().for_each(|line| say!("  {line}"));
    let good = told.status.is_some_and(|ended| ended.success());
    if json {
        let code = told.status.and_then(|ended| ended.code());
        let result = json!({ "service": service, "command": command, "exit": code, "output": told.output, "told": good });
        say::json(&result).map_err(cannot("write", "the result"))?;
    }
    let became = match told.status.map(|ended| (ended.code(), ended.signal())) {
        Some((Some(0), _)) => {
            say!("it ended with exit code 0: who is behind it has been told");
            return Ok(0);
        }
        Some((Some(code), _)) => format!("ended with exit code {code}"),
        Some((None, signal)) => format!("was ended by signal {}", signal.unwrap_or_default()),
        None => format!("did not end within {} and was killed", time(LIMIT)),
    };
    complain!("the notify command {became}: nobody may have been told ({program})");
    Ok(NOT_TOLD)
}

/// The sample that mails, where packages put it.
fn sample() -> PathBuf {
    let own = fs::read_link("/proc/self/exe").unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new("/usr/lib/skynet")).join("notify/mail")
}

fn of_boss_conf(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let said = config::file::read(&tree.boss_conf())?;
    let words = said.known.get("notify").and_then(|(table, _)| table.get("command")?.as_array().cloned());
    Ok(words.into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect())
}

/// The command that supervise would run.
fn of_service(tree: &Tree, service: &str, dir: &Path) -> Result<Vec<String>, Trouble> {
    if !names::SETTINGS.iter().any(|file| dir.join(file).exists()) {
        return Err(Trouble::Failed(format!(
            "{service} has neither service.toml nor config.exo: supervise treats it as daemontools does, and tells nobody \
             (an empty file will do: touch {})",
            dir.join(names::SERVICE_TOML).display()
        )));
    }
    let helper = fs::read_link("/proc/self/exe").map_err(cannot("find", "this program"))?;
    let helper = helper.with_file_name("service-config");
    let mut asked = Command::new(&helper);
    asked.arg(dir).arg(service).env_remove("SKYNET_HOME").stdin(Stdio::null());
    if let Some(home) = tree.home() {
        asked.env("SKYNET_HOME", home);
    }
    let said = asked.output().map_err(cannot("run", helper.display()))?;
    let words = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() {
        let line = words.lines().next().unwrap_or("it does not say why");
        return Err(Trouble::Failed(format!("cannot read the settings of {service}: {line}")));
    }
    let policy = Policy::from_lines(&String::from_utf8_lossy(&said.stdout));
    policy
        .map(|policy| policy.notify)
        .ok_or_else(|| cannot("read", helper.display())("it is of another version"))
}

/// Runs the command as supervise does: in the service directory, a group of its own, nothing on standard input.
fn tell(tree: &Tree, service: &str, dir: &Path, words: (&str, &[String])) -> Result<Ended, Trouble> {
    let mut command = Command::new(words.0);
    command.args(words.1).current_dir(dir).env_clear().envs(svscan::environment(tree));
    command.env("SKYNET_SERVICE", service).env("SKYNET_EVENT", EVENT);
    command.env("SKYNET_EXIT", "code 0").env("SKYNET_COUNT", "0");
    child::run(&mut command, &format!("the notify command {}", words.0), LIMIT)
}
