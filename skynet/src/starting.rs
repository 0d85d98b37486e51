//! Waiting until a service that was started is up and stays up, or saying why it does not.

use crate::local::svscan;
use crate::logtail;
use crate::name;
use crate::participant;
use crate::progress::{Progress, during};
use crate::service::{Condition, Service};
use crate::tree::Tree;
use crate::trouble::Trouble;
use crate::waiting::{Waiting, Woken};
use servicedir::names;
use std::path::Path;
use std::time::Duration;
use unix::tai64n::Tai64n;

/// How long a service may take to be up.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A service that has not said yet that it is ready counts as up when it has run for this long.
const STEADY: Duration = Duration::from_secs(1);
/// How long a logger may take to begin.
const LOGGER: Duration = Duration::from_secs(10);
/// So many ends in a row are no accident.
const ENDS: u32 = 2;

/// Waits until svscan has started supervises for the service and its logger.
///
/// # Errors
/// When it does not, within the time it needs.
pub fn wait_for_supervise(tree: &Tree, name: &str) -> Result<(), Trouble> {
    let dir = tree.service(name);
    let parts = [Some(dir.clone()), Some(dir.join(names::LOG)).filter(|log| log.exists())];
    let waiting = Waiting::at_most(PATIENCE);
    let _progress = during(format!("waiting until {name} is supervised"));
    let service = Service::look(&dir);
    service.must_be_ours()?;
    if !service.supervised && !svscan_runs(tree) {
        return Err(Trouble::Failed(format!("{name} is not supervised: {}", not_running(tree))));
    }
    let noticed = waiting.until(|| {
        waiting.watch(&dir);
        waiting.watch(&dir.join(names::SUPERVISE));
        parts.iter().flatten().all(|part| Service::look(part).supervised).then_some(())
    });
    noticed.ok_or_else(|| Trouble::Failed(format!("{name} is not supervised: {}", not_running(tree))))
}

/// Whether an svscan runs for this tree. Who may not see other users' processes takes it for granted in the system's.
pub fn svscan_runs(tree: &Tree) -> bool {
    match tree.home() {
        Some(home) => svscan::find(&home.join("run")).is_some(),
        None => !nix::unistd::geteuid().is_root() || svscan::of_system(&tree.scan_dir()).is_some(),
    }
}

/// What to do when no svscan runs.
pub fn not_running(tree: &Tree) -> String {
    match tree.home() {
        Some(_) => "no svscan runs in this home (start it with: skynet local up)".to_owned(),
        None => format!("no svscan runs (start it with: {})", start_the_system(tree)),
    }
}

/// The command that starts the system's SkyNET.
pub fn start_the_system(tree: &Tree) -> String {
    // What sd_booted(3) looks at.
    match Path::new("/run/systemd/system").is_dir() {
        true => "systemctl start skynet".to_owned(),
        false => format!(
            "PATH=/usr/lib/skynet/bin:$PATH svscan {} >>{}/svscan.log 2>&1 &",
            tree.scan_dir().display(),
            tree.logs().display()
        ),
    }
}

/// Waits until the service is up and stays up; `before` is [`Service::restarts`] at its first start.
/// Returns its pid.
///
/// # Errors
/// When it ends again and again, is told to stop meanwhile, or takes too long; with its last log lines.
pub fn wait_until_up(tree: &Tree, name: &str, before: u32, patience: Duration) -> Result<i32, Trouble> {
    let dir = tree.service(name);
    let waiting = Waiting::at_most(patience);
    let mut progress = Progress::begin();
    loop {
        waiting.watch(&dir.join(names::SUPERVISE));
        progress.tell(|| format!("waiting until {name} is up"));
        let service = Service::look(&dir);
        match service.condition() {
            Condition::Up(pid) if service.is_steady(STEADY) => return Ok(pid),
            Condition::Unsupervised => {
                return Err(Trouble::Failed(format!("{name} is not supervised: {}", not_running(tree))));
            }
            _ if service.restarts() >= before + ENDS => {
                return Err(failure(tree, name, "ends as soon as it is started"));
            }
            _ => {}
        }
        if waiting.next() != Woken::Look {
            let what = format!("is not up after {}", crate::units::time(patience));
            return Err(failure(tree, name, &what));
        }
    }
}

/// Waits until the supervise has started the service for once; returns what became of it.
///
/// # Errors
/// When it does not start it.
pub fn wait_for_once(
    tree: &Tree,
    name: &str,
    before: Option<Tai64n>,
    patience: Duration,
) -> Result<String, Trouble> {
    let dir = tree.service(name);
    let waiting = Waiting::at_most(patience);
    let started = waiting.until(|| {
        waiting.watch(&dir.join(names::SUPERVISE));
        let service = Service::look(&dir);
        let status = service.status.as_ref()?;
        match status.pid {
            Some(pid) => Some(format!("runs once (pid {pid})")),
            None => (Some(status.since) != before).then(|| "ran once and has ended".to_owned()),
        }
    });
    started.ok_or_else(|| failure(tree, name, "was not started"))
}

/// What a service says waits in its pipe until its logger, which was started beside it, has begun to write.
fn wait_for_logger(dir: &Path, log: &Path) {
    let waiting = Waiting::at_most(LOGGER);
    let _progress = during(format!("waiting until {} has something to tell", log.display()));
    waiting.until(|| {
        waiting.watch(log);
        waiting.watch(&dir.join(names::SUPERVISE));
        let written = log.join("current").metadata().is_ok_and(|meta| meta.len() > 0);
        let logger = Service::look(dir);
        (written || !logger.supervised || logger.is_steady(STEADY)).then_some(())
    });
}

fn failure(tree: &Tree, name: &str, what: &str) -> Trouble {
    // Then there is nothing about it in its log.
    if let Err(why) = participant::startable(&tree.service(name)) {
        return Trouble::Failed(format!("{name} {what}: {why}"));
    }
    let log = tree.logs().join(name);
    wait_for_logger(&tree.service(name).join(names::LOG), &log);
    let last = logtail::last_lines(&log, 8);
    let stop = format!("skynet stop {}", name::participant(name));
    Trouble::Failed(format!(
        "{name} {what}; repair it (it is tried again by itself) or {stop:?}; log: {}{last}",
        log.join("current").display()
    ))
}
