//! Stopping services and waiting until they have stopped, with progress, a deadline and a way to hurry.

use crate::interrupt::is_hang_up;
use crate::progress::Progress;
use crate::say::say;
use crate::service::{self, Condition, Service, tell};
use crate::trouble::{Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unix::process::{Pidfd, Signal};

/// How long a service may take: more than exo's default grace of a minute.
pub const PATIENCE: Duration = Duration::from_secs(75);
/// How long what was killed may take to be gone.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The service does not run; its supervise may.
    Idle,
    /// Its supervise does not run either.
    Gone,
}

impl Goal {
    fn reached(self, service: &Service) -> bool {
        match self {
            Self::Gone => !service.is_alive(),
            Self::Idle => match service.condition() {
                Condition::Down => true,
                Condition::Unsupervised => service.orphan().is_none(),
                _ => false,
            },
        }
    }

    fn letters(self) -> &'static str {
        match self {
            Self::Idle => "d",
            Self::Gone => "dx",
        }
    }
}

/// What ^C means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Nobody waits any longer; what was told to stop stops when it has finished.
    Leaves,
    /// The first time a hint, the second time KILL: what has begun must come to an end.
    Hurries,
}

/// Stops the services in these directories; returns the names of those that had to be killed because they took
/// longer than `patience`, or because the user pressed ^C twice where that hurries.
///
/// # Errors
/// When a control FIFO cannot be written, or something does not end even when killed; [`Trouble::Interrupted`]
/// where ^C leaves.
pub fn stop(
    dirs: &[PathBuf],
    goal: Goal,
    patience: Duration,
    interrupt: Interrupt,
) -> Result<Vec<String>, Trouble> {
    let mut waiting = Waiting::at_most(patience).with_signals();
    for dir in dirs {
        ask(dir, goal.letters(), Signal::SIGTERM)?;
    }
    let (mut killed, mut asked_to_hurry) = (vec![], false);
    let mut obeyed = BTreeSet::new();
    let mut progress = Progress::begin();
    loop {
        let left = unfinished(&waiting, dirs, goal);
        if left.is_empty() {
            return Ok(killed);
        }
        for service in &left {
            match service.condition() {
                Condition::Stopping(_) | Condition::Down => drop(obeyed.insert(service.dir.clone())),
                // Another command has told it to start meanwhile: this one was asked to stop it.
                Condition::Up(_) | Condition::Restarting if obeyed.remove(&service.dir) => {
                    ask(&service.dir, goal.letters(), Signal::SIGTERM)?;
                }
                _ => {}
            }
        }
        let kill = match waiting.next() {
            Woken::Look => false,
            Woken::Over if !killed.is_empty() => return Err(immortal(&left)),
            Woken::Over => true,
            Woken::Interrupted(signal) if interrupt == Interrupt::Leaves => {
                return Err(Trouble::Interrupted(signal, goes_on(&left)));
            }
            Woken::Interrupted(signal) if is_hang_up(signal) => false,
            Woken::Interrupted(_) if asked_to_hurry => killed.is_empty(),
            Woken::Interrupted(_) => {
                asked_to_hurry = true;
                say!("still working: {} (^C again kills)", list(&left));
                false
            }
        };
        if kill {
            say!("killing {}", list(&left));
            for service in &left {
                ask(&service.dir, &format!("{}k", goal.letters()), Signal::SIGKILL)?;
                killed.push(label(&service.dir));
            }
            waiting.extend(AFTERWARDS);
        }
        let hint = if interrupt == Interrupt::Hurries { " (^C twice kills)" } else { "" };
        progress.tell(|| format!("waiting for {} to finish its work{hint}", list(&left)));
    }
}

/// Why what was killed is still there.
fn immortal(left: &[Service]) -> Trouble {
    let deaf =
        |service: &Service| Some(format!("{}, {}", label(&service.dir), service::deaf(service.deaf()?)));
    let why = match left.iter().find_map(deaf) {
        Some(deaf) => format!("still running: {deaf}"),
        None => "still running".to_owned(),
    };
    Trouble::System(format!("cannot stop {}: {why}", list(left)))
}

/// What goes on when nobody waits any longer.
fn goes_on(left: &[Service]) -> String {
    let names: Vec<_> = left.iter().map(|service| label(&service.dir)).collect();
    let kill = format!("skynet kill {}", names.join(" "));
    format!("{} stops when it has finished its work (at once: {kill})", list(left))
}

/// The services that have not reached the goal; their folders are watched.
fn unfinished(waiting: &Waiting, dirs: &[PathBuf], goal: Goal) -> Vec<Service> {
    let services = dirs.iter().map(|dir| {
        waiting.watch(&dir.join(servicedir::names::SUPERVISE));
        Service::look(dir)
    });
    services.filter(|service| !goal.reached(service)).collect()
}

/// By letters where there is a supervise, else by a signal to what it left behind.
fn ask(dir: &Path, letters: &str, signal: Signal) -> Result<(), Trouble> {
    if tell(dir, letters)? {
        return Ok(());
    }
    match Service::look(dir).orphan() {
        Some(process) => send(&process, signal).map_err(cannot("stop", dir.display())),
        None => Ok(()),
    }
}

/// Sends a signal; one who has just ended needs none.
pub fn send(process: &Pidfd, signal: Signal) -> io::Result<()> {
    match process.send(signal) {
        Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(()),
        sent => sent,
    }
}

fn list(services: &[Service]) -> String {
    let one = |service: &Service| match service.condition() {
        Condition::Up(pid) | Condition::Stopping(pid) | Condition::Paused(pid) => {
            format!("{} (pid {pid})", label(&service.dir))
        }
        _ => label(&service.dir),
    };
    services.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `NAME`, or `NAME/log`.
fn label(dir: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name(dir).as_str() {
        servicedir::names::LOG => format!("{}/log", dir.parent().map(name).unwrap_or_default()),
        other => other.to_owned(),
    }
}
