//! `skynet local down`: participants first, as their replies need the broker, then everything else.

use super::{lock, status, svscan};
use crate::interrupt::is_hang_up;
use crate::name::BROKER;
use crate::participant;
use crate::say::say;
use crate::service::{Service, has_ended};
use crate::stopping::{self, Goal, Interrupt, PATIENCE};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags};
use servicedir::names;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unix::process::Signal;

/// How long a logger may take to write what is left in its pipe.
const LOGGERS: Duration = Duration::from_secs(5);
/// svscan kills after 90 seconds; this is when we stop believing that it will end.
const SVSCAN: Duration = Duration::from_secs(110);

/// Stops the SkyNET of this home. Exit code 1 when something had to be killed.
pub fn run(tree: &Tree, json: bool) -> Outcome {
    let killed = stop(tree)?;
    if json {
        status::print_json(tree, "killed", &killed.clone().into())?;
    }
    Ok(u8::from(!killed.is_empty()))
}

/// Returns what had to be killed.
fn stop(tree: &Tree) -> Result<Vec<String>, Trouble> {
    stop_lost(tree)?;
    let Some(home) = tree.home().filter(|home| home.join("run").is_dir()) else {
        say!("nothing to stop: there is no SkyNET in {}", super::up::place(tree));
        return Ok(vec![]);
    };
    let _lock = lock::take(&home.join("run"))?;
    if svscan::find(&home.join("run")).is_none() && leftovers(tree)?.is_empty() {
        say!("SkyNET in {} is down already; start it with: skynet local up", home.display());
        return Ok(vec![]);
    }
    let killed = stop_everything(tree, &home.join("run"), Interrupt::Hurries)?;
    if killed.is_empty() {
        say!("SkyNET in {} is down; start it again with: skynet local up", home.display());
    } else {
        say!("SkyNET in {} is down; had to be killed: {}", home.display(), killed.join(", "));
    }
    Ok(killed)
}

/// Stops participants, then svscan with all the rest, then what a killed svscan left behind. Returns what had
/// to be killed.
///
/// # Errors
/// When something cannot be stopped.
pub fn stop_everything(tree: &Tree, run: &Path, interrupt: Interrupt) -> Result<Vec<String>, Trouble> {
    let participants: Vec<_> = directories(tree)?.into_iter().filter(|dir| !dir.ends_with(BROKER)).collect();
    let alive: Vec<_> = participants.iter().filter(|dir| Service::look(dir).is_alive()).cloned().collect();
    if !alive.is_empty() {
        say!("stopping {} …", names_of(&alive));
    }
    let patience = participant::patience(tree, &participants);
    let mut killed = stopping::stop(&participants, Goal::Idle, patience, interrupt)?;
    if let Some(svscan) = svscan::find(run) {
        killed.extend(stop_svscan(tree, &svscan)?);
    }
    killed.extend(stop_leftovers(tree)?);
    svscan::forget(run);
    Ok(killed)
}

/// Stops what still runs of a home that was removed while it was up.
///
/// # Errors
/// When it cannot be stopped.
pub fn stop_lost(tree: &Tree) -> Result<(), Trouble> {
    let lost = svscan::lost(tree);
    if lost.svscans.is_empty() {
        return Ok(());
    }
    // They would try for ever to write what they have.
    for logger in &lost.loggers {
        stopping::send(logger, Signal::SIGKILL).map_err(cannot("stop", "multilog"))?;
    }
    for svscan in &lost.svscans {
        say!("stopping what still runs of a home that was removed here (svscan pid {}) …", svscan.pid);
        stop_svscan(tree, svscan)?;
    }
    Ok(())
}

/// Services and loggers that run although no svscan does.
///
/// # Errors
/// What reading the scan directory reports.
pub fn leftovers(tree: &Tree) -> Result<Vec<PathBuf>, Trouble> {
    let alive = |dir: &PathBuf| Service::look(dir).is_alive();
    let dirs = directories(tree)?.into_iter().flat_map(|dir| [dir.join(names::LOG), dir]);
    Ok(dirs.filter(alive).collect())
}

fn stop_leftovers(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let (loggers, services): (Vec<_>, Vec<_>) =
        leftovers(tree)?.into_iter().partition(|dir| dir.ends_with(names::LOG));
    let mut killed = stopping::stop(&services, Goal::Gone, PATIENCE, Interrupt::Hurries)?;
    // A logger ends by itself, having written everything, once nobody holds the other end of its pipe.
    for dir in &loggers {
        crate::service::tell(dir, "x")?;
    }
    let waiting = Waiting::at_most(LOGGERS);
    let gone = |dir: &PathBuf| !Service::look(dir).is_alive();
    if waiting.until(|| loggers.iter().all(gone).then_some(())).is_none() {
        killed.extend(stopping::stop(&loggers, Goal::Gone, LOGGERS, Interrupt::Hurries)?);
    }
    Ok(killed)
}

fn directories(tree: &Tree) -> Result<Vec<PathBuf>, Trouble> {
    Ok(tree.services()?.iter().map(|name| tree.service(name)).collect())
}

fn names_of(dirs: &[PathBuf]) -> String {
    let names = dirs.iter().filter_map(|dir| dir.file_name()).map(|name| name.to_string_lossy());
    names.collect::<Vec<_>>().join(", ")
}

/// TERM, and a second one when the user is in a hurry. Returns what svscan says it had to kill.
fn stop_svscan(tree: &Tree, svscan: &svscan::Svscan) -> Result<Vec<String>, Trouble> {
    let log = svscan::log(tree);
    let before = fs::metadata(&log).map_or(0, |meta| meta.len());
    let terminate = || stopping::send(&svscan.process, Signal::SIGTERM).map_err(cannot("stop", "svscan"));
    terminate()?;
    let waiting = Waiting::at_most(SVSCAN).with_signals();
    while !has_ended(&svscan.process) {
        let process = PollFd::new(svscan.process.as_fd(), PollFlags::POLLIN);
        match waiting.next_or(Some(process)) {
            Woken::Look => {}
            Woken::Interrupted(signal) if is_hang_up(signal) => {}
            Woken::Interrupted(_) => terminate()?,
            Woken::Over => {
                return Err(Trouble::System(format!(
                    "cannot stop svscan (pid {}): still running",
                    svscan.pid
                )));
            }
        }
    }
    let said = fs::read(&log).unwrap_or_default();
    let said = said.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
    Ok(killed_by_svscan(&String::from_utf8_lossy(said)))
}

/// The names in svscan's lines about what it killed.
fn killed_by_svscan(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("svscan: warning: killing "));
    lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_svscan_killed_is_read_from_its_words() {
        let said = "svscan: warning: unable to stat x: access denied\n\
                    svscan: warning: killing slow: it did not stop in time\n";
        assert_eq!(super::killed_by_svscan(said), ["slow"]);
        assert!(super::killed_by_svscan("").is_empty());
    }
}
