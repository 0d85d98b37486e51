//! Settings, accounts, states and restarts of participants.

use super::Finding;
use crate::name;
use crate::participant;
use crate::service::{Condition, Service};
use crate::tree::Tree;
use config::Settings;
use nix::unistd::{User, geteuid};
use servicedir::names::RUN;
use state::moment;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Restarts per hour from which a service is said to be unsteady.
const UNSTEADY: f64 = 6.0;

/// So long, in microseconds, a participant may take to find its broker.
const NEW: moment::Micros = 10_000_000;

/// What is found.
pub fn look(tree: &Tree) -> Vec<Finding> {
    let mut found = settings(tree);
    let services = match tree.services() {
        Ok(services) => services,
        Err(e) => return vec![Finding::wrong("participants", e.to_string(), "")],
    };
    // That no svscan runs is said once.
    let mut nobodies = vec![];
    let supervised = services.iter().any(|name| Service::look(&tree.service(name)).supervised);
    for service in services {
        found.extend(condition(tree, &service).filter(|_| supervised));
        found.extend(deaf(tree, &service));
        let participants_own = name::participant(&service) == service;
        if let Ok(Some((settings, _))) = participant::settings(tree, &tree.service(&service))
            && participants_own
        {
            nobodies.extend(Some(service.clone()).filter(|_| is_nobody(&settings)));
            found.extend(account(&service, &settings));
            found.extend(owner(tree, &service, &settings));
            found.extend(open_to_others(tree, &service, &settings));
            // One command of boss.conf is everybody's.
            let notify = notify(&settings).filter(|one| found.iter().all(|other| other.found != one.found));
            found.extend(notify);
        }
    }
    if !nobodies.is_empty() {
        let what = format!("there is no user boss; as nobody run: {}", nobodies.join(", "));
        found.push(Finding::warning("accounts", what, "useradd --system boss"));
    }
    found
}

fn settings(tree: &Tree) -> Vec<Finding> {
    let checked = match crate::settings::check(tree) {
        Ok(checked) => checked,
        Err(e) => return vec![Finding::wrong("settings", e.to_string(), "")],
    };
    let mut found = vec![];
    for one in &checked {
        found.extend(
            one.error.iter().map(|error| Finding::wrong("settings", error, repair(&one.file, error))),
        );
        found.extend(one.warnings.iter().map(|warning| Finding::warning("settings", warning, "")));
    }
    if found.is_empty() {
        found.push(Finding::good(
            "settings",
            format!("{} can be used", crate::units::count(checked.len(), "file")),
        ));
    }
    found
}

/// What to do about a file of settings that cannot be used.
fn repair(file: &Path, error: &str) -> String {
    match error.contains("ermission denied") {
        true if !geteuid().is_root() => format!("sudo skynet doctor, or ls -l {}", file.display()),
        true => format!("who may read it? ls -l {}", file.display()),
        false if error.contains("there is no account ") => {
            "useradd --system makes one; or set user to another, or unset it".to_owned()
        }
        false => "repair what it names".to_owned(),
    }
}

/// The command that is told of problems must be there.
fn notify(settings: &Settings) -> Option<Finding> {
    let program =
        settings.notify.first().filter(|program| program.contains('/') && !Path::new(program).exists())?;
    let what = format!("nobody is told of problems: the command {program} is not there");
    Some(Finding::wrong("notify", what, "skynet config set notify.command …, then: skynet notify test"))
}

/// A process that runs and takes no work says why.
fn idle(tree: &Tree, name: &str, pid: i32) -> Option<Finding> {
    let settings = participant::settings(tree, &tree.service(name)).ok()??.0;
    let live = state::live::read(&settings.state)
        .into_iter()
        .find(|live| i64::from(live.process.pid) == i64::from(pid))?;
    let what = format!("up (pid {pid}), {}", live.state);
    // What has just begun is connecting yet; what ends may finish its work.
    let long = moment::now() - live.consuming_since > NEW && !live.state.contains("finishing what runs");
    let found = if long { Finding::wrong } else { Finding::warning };
    (!live.consuming).then(|| found(name, what, format!("skynet log {name} -n 20")))
}

fn condition(tree: &Tree, name: &str) -> Option<Finding> {
    let service = Service::look(&tree.service(name));
    if let Err(why) = participant::startable(&tree.service(name)) {
        return Some(Finding::wrong(name, format!("it cannot be started: {why}"), ""));
    }
    match service.condition() {
        Condition::Unsupervised if service.enabled => {
            let repair = crate::starting::not_running(tree);
            Some(Finding::wrong(name, "it is enabled and not supervised", repair))
        }
        Condition::Restarting => {
            let repair = format!("why it ends: skynet log {name} -n 20");
            Some(Finding::wrong(name, "it does not stay up", repair))
        }
        Condition::Paused(_) => {
            Some(Finding::warning(name, "it is paused", format!("svc -c {}", tree.service(name).display())))
        }
        Condition::Up(pid) => {
            let hours =
                service.age().unwrap_or_default().max(Duration::from_secs(600)).as_secs_f64() / 3600.0;
            match service.restarts() {
                n if n > 1 && f64::from(n) / hours > UNSTEADY && service.ended_by_itself() => {
                    let what = format!("it was restarted {n} times");
                    Some(Finding::warning(name, what, format!("why: skynet log {name} --since 1h")))
                }
                _ => idle(tree, name, pid).or_else(|| Some(Finding::good(name, format!("up (pid {pid})")))),
            }
        }
        _ => None,
    }
}

/// A supervise that hears nothing looks like one that has nothing to do.
fn deaf(tree: &Tree, name: &str) -> Option<Finding> {
    let pid = Service::look(&tree.service(name)).deaf()?;
    let what = format!("its supervise (pid {pid}) does not answer");
    Some(Finding::wrong(name, what, format!("kill -9 {pid}: another takes over what runs")))
}

/// Whether it runs as nobody, for want of an account of its own.
fn is_nobody(settings: &Settings) -> bool {
    geteuid().is_root() && settings.user.is_none() && matches!(User::from_name("boss"), Ok(None))
}

/// As root a participant becomes another user.
fn account(name: &str, settings: &Settings) -> Option<Finding> {
    let as_root = geteuid().is_root() && settings.user.as_deref() == Some("root");
    as_root.then(|| Finding::warning(name, "it runs as root", "does it have to?"))
}

/// Who may write what is run chooses what is done, as the participant's user; in `run`, as the user of svscan.
fn open_to_others(tree: &Tree, name: &str, settings: &Settings) -> Option<Finding> {
    let dir = participant::source(&tree.service(name))?;
    let others = if geteuid().is_root() { 0o022 } else { 0o002 };
    let may = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.mode() & others != 0);
    let own = [dir.clone(), dir.join(RUN), dir.join(participant::CONFIG)];
    let open: Vec<_> = own.into_iter().chain([settings.code.clone()]).filter(may).collect();
    let shown = open.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    let what = format!("others may write {shown}, and so choose what runs");
    (!open.is_empty()).then(|| Finding::warning(name, what, format!("chmod go-w {shown}")))
}

/// Its state must be its user's: of another's it can write no journal, and takes no work.
pub fn owner(tree: &Tree, name: &str, settings: &Settings) -> Option<Finding> {
    let user = participant::user(tree, settings).filter(|user| !user.uid.is_root())?;
    let meta = fs::metadata(&settings.state).ok().filter(|meta| meta.uid() != user.uid.as_raw())?;
    let of = User::from_uid(meta.uid().into()).ok().flatten().map_or(meta.uid().to_string(), |of| of.name);
    let (state, user) = (settings.state.display(), user.name);
    let what = format!("its state in {state} is {of}'s, and it runs as {user}: it takes no work");
    let repair = format!("skynet stop {name}; chown -R {user} {state}; skynet start {name}");
    Some(Finding::wrong(name, what, repair))
}
