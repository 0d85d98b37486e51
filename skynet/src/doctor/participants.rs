//! Settings, accounts, states and restarts of participants.

use super::Finding;
use crate::name;
use crate::participant;
use crate::service::{Condition, Service};
use crate::tree::Tree;
use config::Settings;
use nix::unistd::{User, geteuid};
use std::path::Path;
use std::time::Duration;

/// Restarts per hour from which a service is said to be unsteady.
const UNSTEADY: f64 = 6.0;

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
        let participants_own = name::participant(&service) == service;
        if let Ok(Some((settings, _))) = participant::settings(tree, &tree.service(&service))
            && participants_own
        {
            nobodies.extend(Some(service.clone()).filter(|_| is_nobody(&settings)));
            found.extend(account(&service, &settings));
            found.extend(handler(&service, &settings));
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
        true => format!("who may read it? ls -l {}", file.display()),
        false => "repair that line".to_owned(),
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
    (!live.consuming).then(|| Finding::warning(name, what, format!("skynet log {name} -n 20")))
}

fn condition(tree: &Tree, name: &str) -> Option<Finding> {
    let service = Service::look(&tree.service(name));
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

/// Whether it runs as nobody, for want of an account of its own.
fn is_nobody(settings: &Settings) -> bool {
    geteuid().is_root() && settings.user.is_none() && matches!(User::from_name("boss"), Ok(None))
}

/// As root a participant becomes another user, who must exist.
fn account(name: &str, settings: &Settings) -> Option<Finding> {
    if !geteuid().is_root() {
        let me = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
        let other = settings.user.as_ref().filter(|user| me.as_ref() != Some(user))?;
        let what = format!("it says user = {other:?}, which only root can become");
        return Some(Finding::wrong(name, what, format!("skynet config {name} unset user")));
    }
    match &settings.user {
        Some(user) if matches!(User::from_name(user), Ok(None)) => {
            let what = format!("there is no user {user:?}");
            Some(Finding::wrong(
                name,
                what,
                format!("useradd --system {user}, or set another one in config.exo"),
            ))
        }
        Some(user) if user == "root" => Some(Finding::warning(name, "it runs as root", "does it have to?")),
        _ => None,
    }
}

/// The handler's file, or the program, must be there.
fn handler(name: &str, settings: &Settings) -> Option<Finding> {
    match settings.exec.first() {
        None if !settings.code.exists() => {
            let what = format!("its code is not there: {}", settings.code.display());
            Some(Finding::wrong(name, what, format!("skynet config {name} set code FILE")))
        }
        Some(program) if program.contains('/') && !Path::new(program).exists() => {
            let what = format!("its program is not there: {program}");
            Some(Finding::wrong(name, what, format!("skynet config {name}")))
        }
        _ => None,
    }
}
