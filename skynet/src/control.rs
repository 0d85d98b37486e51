//! `skynet start|stop|restart|reload|once|kill|remove`: letters to supervise, and waiting until they have had
//! their effect. What each does to a service stands in its help; all return the services they were about.

use crate::cli::admin::{Names, Paths};
use crate::enable::{self, AtBoot};
use crate::glob;
use crate::interrupt::goes_on;
use crate::listening;
use crate::participant::{self, Participant};
use crate::say::say;
use crate::service::{Condition, Service, tell};
use crate::starting;
use crate::stopping::{self, Goal, Interrupt, PATIENCE};
use crate::tree::Tree;
use crate::trouble::{Acted, Trouble, cannot};
use crate::waiting::Waiting;
use servicedir::names;
use std::fs;
use std::time::Duration;
use unix::process::Signal;

/// How long a supervise or a logger with nothing to do may take to end.
const BRIEFLY: Duration = Duration::from_secs(10);

/// `skynet start NAME…`. One that is installed but has no service directory gets one, disabled.
pub fn start(tree: &Tree, args: &Paths) -> Acted {
    let services = services(tree, &args.words)?;
    for name in &services {
        let before = Service::look(&tree.service(name)).restarts_once_up();
        begin(tree, name, before, args.timeout)?;
    }
    Ok((0, services))
}

/// `skynet once NAME…`: it is not started again when it ends.
pub fn once(tree: &Tree, args: &Paths) -> Acted {
    let services = services(tree, &args.words)?;
    for name in &services {
        starting::wait_for_supervise(tree, name)?;
        let dir = tree.service(name);
        let before = Service::look(&dir).status.map(|status| status.since);
        tell(&dir, "o")?;
        let became = starting::wait_for_once(tree, name, before, args.timeout.unwrap_or(starting::PATIENCE))?;
        say!("{name} {became}");
    }
    Ok((0, services))
}

/// The services that the words mean; where there is none yet it is made, disabled.
fn services(tree: &Tree, words: &[String]) -> Result<Vec<String>, Trouble> {
    let mut services = vec![];
    for word in words {
        services.extend(match tree.pick(std::slice::from_ref(word)) {
            Err(Trouble::NoSuch(line)) if glob::is_pattern(word) => return Err(Trouble::NoSuch(line)),
            Err(Trouble::NoSuch(line)) => match Participant::find(tree, word) {
                Ok(participant) => {
                    enable::make(tree, &participant, AtBoot::Down)?;
                    let called = participant.only.as_ref().unwrap_or(&participant.name);
                    say!("{called} does not start by itself (for that: skynet enable {word})");
                    participant.meant()
                }
                Err(Trouble::NoSuch(_)) if !word.contains(crate::name::INSTANCE) => {
                    return Err(Trouble::NoSuch(line));
                }
                Err(other) => return Err(other),
            },
            picked => picked?,
        });
    }
    Ok(services)
}

/// `skynet stop NAME…`. One that is disabled is taken away.
pub fn stop(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    let killed = halt(tree, &picked, args.timeout)?;
    for name in &picked {
        if Service::look(&tree.service(name)).enabled {
            say!("{name} is down (it starts again with SkyNET, unless: skynet disable {name})");
        } else {
            take_away(tree, name)?;
            say!("{name} is down and taken away; its log stays in {}", tree.logs().join(name).display());
        }
    }
    Ok((exit_code(&killed), picked))
}

/// `skynet remove NAME…`: down, and its service directory gone.
pub fn remove(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    let killed = halt(tree, &picked, args.timeout)?;
    for name in &picked {
        let source = participant::source(&tree.service(name));
        take_away(tree, name)?;
        if crate::name::participant(name) == name {
            say!("{name} is removed: it no longer starts; what stays:");
            what_stays(tree, name, source.as_deref());
        } else {
            say!("{name} is removed: it no longer starts");
        }
    }
    Ok((exit_code(&killed), picked))
}

fn what_stays(tree: &Tree, name: &str, source: Option<&std::path::Path>) {
    if let Some(source) = source {
        let installed = source.starts_with(tree.installed());
        let again = if installed { name.to_owned() } else { source.display().to_string() };
        say!("  its code     {} (again: skynet enable {again})", source.display());
    }
    for (what, place) in [("log", tree.logs()), ("state", tree.states())] {
        let place = place.join(name);
        if place.exists() {
            say!("  its {what:<8} {}", place.display());
        }
    }
}

/// `skynet restart NAME…`: down, wait, up.
pub fn restart(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    let killed = halt(tree, &picked, args.timeout).map_err(|trouble| match trouble {
        Trouble::Interrupted(signal, line) => {
            let again = picked.join(" ");
            Trouble::Interrupted(signal, format!("{line}; it is not started again: skynet start {again}"))
        }
        other => other,
    })?;
    for name in &picked {
        let before = Service::look(&tree.service(name)).restarts_once_up();
        begin(tree, name, before, args.timeout)?;
    }
    Ok((exit_code(&killed), picked))
}

/// `skynet reload NAME…`: HUP; it ends when it has finished and is started anew.
pub fn reload(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    let dirs: Vec<_> = picked.iter().map(|name| tree.service(name)).collect();
    let patience = args.timeout.unwrap_or_else(|| participant::patience(tree, &dirs));
    for dir in &dirs {
        if let Err(e) = participant::settings(tree, dir) {
            let line = format!("{e}; nothing is reloaded: what runs goes on with the old settings");
            return Err(Trouble::Failed(line));
        }
    }
    for name in &picked {
        let dir = tree.service(name);
        let service = Service::look(&dir);
        service.must_be_ours()?;
        let pid = match service.condition() {
            Condition::Up(pid) => pid,
            // It reads all of it when it starts; that is due now.
            Condition::Restarting => {
                begin(tree, name, service.restarts_once_up(), args.timeout)?;
                continue;
            }
            _ => {
                let state = crate::status::words(&service);
                let line = format!("{name} is {state}: there is nothing to reload (skynet start {name})");
                return Err(Trouble::Failed(line));
            }
        };
        tell(&dir, "h")?;
        let _goes_on =
            goes_on(format!("{name} reloads when it has finished its work (at once: skynet kill {name})"));
        wait_until_gone(&dir, pid, patience, &format!("waiting for {name} to finish its work")).ok_or_else(
            || {
                Trouble::Failed(format!(
                    "{name} (pid {pid}) still works after {}; it reloads when it has finished",
                    crate::units::time(patience)
                ))
            },
        )?;
        begin(tree, name, service.restarts(), args.timeout)?;
    }
    Ok((0, picked))
}

/// `skynet kill NAME…`: KILL; supervise starts it again unless it was to be down.
pub fn kill(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    for name in &picked {
        let dir = tree.service(name);
        let service = Service::look(&dir);
        service.must_be_ours()?;
        match service.condition() {
            Condition::Up(pid) | Condition::Paused(pid) | Condition::Stopping(pid) => {
                tell(&dir, "k")?;
                wait_until_gone(
                    &dir,
                    pid,
                    args.timeout.unwrap_or(BRIEFLY),
                    &format!("waiting for the end of {name}"),
                )
                .ok_or_else(|| Trouble::System(format!("cannot kill {name} (pid {pid}): still running")))?;
                say!("{name} (pid {pid}) was killed; its workitem goes back to the queue");
            }
            _ => match service.orphan() {
                Some(process) => {
                    stopping::send(&process, Signal::SIGKILL).map_err(cannot("kill", name))?;
                    say!("{name} was killed; no supervise ran for it");
                }
                None => say!("{name} does not run"),
            },
        }
    }
    Ok((0, picked))
}

/// Waits until the service has another pid than this, or none; `None` when it takes too long.
fn wait_until_gone(dir: &std::path::Path, pid: i32, patience: Duration, what: &str) -> Option<()> {
    let waiting = Waiting::at_most(patience);
    let mut progress = crate::progress::Progress::begin();
    waiting.until(|| {
        waiting.watch(&dir.join(names::SUPERVISE));
        progress.tell(|| what.to_owned());
        let now = Service::look(dir).status.and_then(|status| status.pid);
        (now != Some(pid)).then_some(())
    })
}

/// Wants the service up and waits until it is; says so. `before` is what
/// [`Service::restarts_once_up`] said before.
///
/// # Errors
/// When no supervise runs, or the service does not stay up.
pub fn begin(tree: &Tree, name: &str, before: u32, patience: Option<Duration>) -> Result<(), Trouble> {
    starting::wait_for_supervise(tree, name)?;
    tell(&tree.service(name), "u")?;
    let _goes_on = goes_on(format!("{name} was told to start, and goes on with that (skynet stop {name})"));
    let pid = starting::wait_until_up(tree, name, before, patience.unwrap_or(starting::PATIENCE))?;
    say!("{name} is up (pid {pid})");
    if let Some(note) = listening::wait(tree, name)? {
        say!("note: {note}");
    }
    Ok(())
}

/// Takes a service directory away: its name first, so that nothing of it is started again.
///
/// # Errors
/// What renaming and removing reports; when something does not end.
pub fn take_away(tree: &Tree, name: &str) -> Result<(), Trouble> {
    let (dir, gone) = (tree.service(name), tree.scan_dir().join(format!(".{name}.gone")));
    if gone.exists() {
        fs::remove_dir_all(&gone).map_err(cannot("remove", gone.display()))?;
    }
    fs::rename(&dir, &gone).map_err(cannot("remove", dir.display()))?;
    stopping::stop(std::slice::from_ref(&gone), Goal::Gone, PATIENCE, Interrupt::Hurries)?;
    // svscan holds the pipe to the logger until both are gone: it is told to end.
    stopping::stop(&[gone.join(names::LOG)], Goal::Gone, BRIEFLY, Interrupt::Hurries)?;
    fs::remove_dir_all(&gone).map_err(cannot("remove", gone.display()))
}

fn halt(tree: &Tree, names: &[String], patience: Option<Duration>) -> Result<Vec<String>, Trouble> {
    let dirs: Vec<_> = names.iter().map(|name| tree.service(name)).collect();
    let patience = patience.unwrap_or_else(|| participant::patience(tree, &dirs));
    let killed = stopping::stop(&dirs, Goal::Idle, patience, Interrupt::Leaves)?;
    for name in &killed {
        say!("{name} had to be killed; its workitem goes back to the queue");
    }
    Ok(killed)
}

/// 1 when something had to be killed.
fn exit_code(killed: &[String]) -> u8 {
    u8::from(!killed.is_empty())
}
