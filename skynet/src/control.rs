//! `skynet start|stop|restart|reload|once|kill|remove`: letters to supervise, and waiting until they have had
//! their effect. What each does to a service stands in its help; all return the services they were about.

use crate::cli::admin::{Names, Paths};
use crate::enable::{self, AtBoot, GONE};
use crate::glob;
use crate::interrupt::goes_on;
use crate::listening;
use crate::local::broker;
use crate::name::BROKER;
use crate::participant::{self, Participant};
use crate::queues;
use crate::say::{self, say};
use crate::service::{Condition, Service, deaf, tell};
use crate::starting;
use crate::stopping::{self, Goal, Interrupt, PATIENCE};
use crate::tree::Tree;
use crate::trouble::{Acted, Trouble, cannot};
use crate::waiting::Waiting;
use servicedir::names;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use unix::process::Signal;

/// How long a supervise or a logger with nothing to do may take to end.
const BRIEFLY: Duration = Duration::from_secs(10);

/// `skynet start NAME…`. One that is installed but has no service directory gets one, disabled.
pub fn start(tree: &Tree, args: &Paths) -> Acted {
    let services = services(tree, &args.words)?;
    begin_all(tree, &services, args.timeout)?;
    Ok((0, services))
}

/// `skynet once NAME…`: it is not started again when it ends.
pub fn once(tree: &Tree, args: &Paths) -> Acted {
    let services = services(tree, &args.words)?;
    each(&services, |name| {
        starting::wait_for_supervise(tree, name)?;
        let dir = tree.service(name);
        let before = Service::look(&dir).status.map(|status| status.since);
        tell(&dir, "o")?;
        let became = starting::wait_for_once(tree, name, before, args.timeout.unwrap_or(starting::PATIENCE))?;
        say!("{name} {became}");
        Ok(())
    })?;
    Ok((0, services))
}

/// The services that the words mean; where there is none yet it is made, disabled.
fn services(tree: &Tree, words: &[String]) -> Result<Vec<String>, Trouble> {
    let each: Result<Vec<_>, _> = words.iter().map(|word| services_of(tree, word)).collect();
    Ok(each?.concat())
}

fn services_of(tree: &Tree, word: &String) -> Result<Vec<String>, Trouble> {
    let unknown = match tree.pick(std::slice::from_ref(word)) {
        Err(Trouble::NoSuch(line)) => Trouble::NoSuch(line),
        picked => return picked,
    };
    if glob::is_pattern(word) {
        return Err(unknown);
    }
    match Participant::find(tree, word) {
        Ok(participant) => {
            enable::make(tree, &participant, AtBoot::Down)?;
            let called = participant.only.as_ref().unwrap_or(&participant.name);
            say!("{called} does not start by itself (for that: skynet enable {})", say::word(word));
            Ok(participant.meant())
        }
        Err(Trouble::NoSuch(_)) if !word.contains([crate::name::INSTANCE, '/']) => Err(unknown),
        Err(other) => Err(other),
    }
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
    let queues = queues::look(tree, &picked);
    for name in &picked {
        let source = participant::source(&tree.service(name));
        take_away(tree, name)?;
        if crate::name::participant(name) == name {
            say!("{name} is removed: it no longer starts; what stays:");
            what_stays(tree, name, source.as_deref());
            if let Some((queue, Some(found))) = queues.of.get(name) {
                say!(
                    "  its queue    {queue} ({} in it)",
                    crate::units::count(found.ready as usize, "workitem")
                );
            }
        } else {
            say!("{name} is removed: it no longer starts");
        }
    }
    Ok((exit_code(&killed), picked))
}

fn what_stays(tree: &Tree, name: &str, source: Option<&Path>) {
    if let Some(source) = source {
        let installed = source.starts_with(tree.installed());
        let again = if installed { name.to_owned() } else { say::word(&source.display().to_string()) };
        say!("  its code     {} (again: skynet enable {again})", source.display());
    }
    for (what, place) in [("log", tree.logs()), ("state", tree.states())] {
        let place = place.join(name);
        if place.exists() {
            say!("  its {what:<8} {}", place.display());
        }
    }
    if name == BROKER {
        say!("  its {:<8} {} (again: skynet local up)", "store", broker::folder(tree).display());
    }
}

/// `skynet restart NAME…`: down, wait, up.
pub fn restart(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    must_be_startable(tree, &picked, "restarted")?;
    let killed = halt(tree, &picked, args.timeout).map_err(|trouble| match trouble {
        Trouble::Interrupted(signal, line) => {
            let again = picked.join(" ");
            Trouble::Interrupted(signal, format!("{line}; it is not started again: skynet start {again}"))
        }
        other => other,
    })?;
    begin_all(tree, &picked, args.timeout)?;
    Ok((exit_code(&killed), picked))
}

/// A service that reads its settings anew as soon as it can.
struct Reloading {
    name: String,
    /// As for [`begin`].
    before: u32,
    /// Its process, which has been told to finish.
    finishing: Option<i32>,
}

/// `skynet reload NAME…`: HUP; it ends when it has finished and is started anew. All of them at the same time; who
/// asks for all, or by a pattern, means those that run.
pub fn reload(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    must_be_startable(tree, &picked, "reloaded")?;
    let dirs: Vec<_> = picked.iter().map(|name| tree.service(name)).collect();
    let patience = args.timeout.unwrap_or_else(|| participant::patience(tree, &dirs));
    let mut told = vec![];
    let refused = each(&picked, |name| {
        told.extend(tell_to_reload(tree, name, args.names.contains(name))?);
        Ok(())
    });
    let begun = each(&told, |reloading| {
        wait_until_finished(tree, reloading, patience)?;
        begin(tree, &reloading.name, reloading.before, args.timeout)
    });
    begun.and(refused)?;
    Ok((0, picked))
}

/// Tells the one that runs; `None` where there is nothing to reload, which is wrong where it was asked for by its name.
fn tell_to_reload(tree: &Tree, name: &str, by_name: bool) -> Result<Option<Reloading>, Trouble> {
    let dir = tree.service(name);
    let service = Service::look(&dir);
    service.must_be_ours()?;
    let reloading = |before, finishing| Some(Reloading { name: name.to_owned(), before, finishing });
    match service.condition() {
        Condition::Up(pid) => {
            tell(&dir, "h")?;
            Ok(reloading(service.restarts(), Some(pid)))
        }
        // It reads all of it when it starts; that is due now.
        Condition::Restarting => Ok(reloading(service.restarts_once_up(), None)),
        _ if !by_name => {
            say!("{name} is {}: nothing to reload", crate::status::words(&service));
            Ok(None)
        }
        Condition::Unsupervised if !starting::svscan_runs(tree) => {
            Err(Trouble::Failed(format!("{name} does not run: {}", starting::not_running(tree))))
        }
        _ => {
            let state = crate::status::words(&service);
            let line = format!("{name} is {state}: there is nothing to reload (skynet start {name})");
            Err(Trouble::Failed(line))
        }
    }
}

/// Waits until the process that was told to finish is gone.
fn wait_until_finished(tree: &Tree, reloading: &Reloading, patience: Duration) -> Result<(), Trouble> {
    let Reloading { name, finishing: Some(pid), .. } = reloading else { return Ok(()) };
    let _goes_on =
        goes_on(format!("{name} reloads when it has finished its work (at once: skynet kill {name})"));
    let dir = tree.service(name);
    wait_until_gone(&dir, *pid, patience, &format!("waiting for {name} to finish its work")).ok_or_else(
        || {
            Trouble::Failed(match Service::look(&dir).deaf() {
                Some(supervise) => format!("{name} is not reloaded: {}", deaf(supervise)),
                None => {
                    let after = crate::units::time(patience);
                    format!("{name} (pid {pid}) still works after {after}; it reloads when it has finished")
                }
            })
        },
    )
}

/// What runs is not ended where it could not be started again.
fn must_be_startable(tree: &Tree, picked: &[String], done: &str) -> Result<(), Trouble> {
    for name in picked {
        let service = tree.service(name);
        let startable =
            || participant::startable(&service).map_err(|why| Trouble::Failed(format!("{name}: {why}")));
        participant::usable(tree, &service).and_then(|_| startable()).map_err(|trouble| match trouble {
            Trouble::Failed(line) => {
                Trouble::Failed(format!("{line}; nothing is {done}: what runs goes on with the old settings"))
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Does it for each, whatever becomes of the others. What fails is told; the last such trouble is returned.
///
/// # Errors
/// When it fails for one; at once where ^C ends it.
pub fn each<T>(all: &[T], mut act: impl FnMut(&T) -> Result<(), Trouble>) -> Result<(), Trouble> {
    let mut last: Option<Trouble> = None;
    for one in all {
        match act(one) {
            Ok(()) => {}
            Err(interrupted @ Trouble::Interrupted(..)) => return Err(interrupted),
            Err(e) => {
                if let Some(before) = last.replace(e) {
                    say::trouble(&before.to_string());
                }
            }
        }
    }
    last.map_or(Ok(()), Err)
}

/// Wants all of them up before it waits for the first.
///
/// # Errors
/// As [`begin`], for one of them.
pub fn begin_all(tree: &Tree, names: &[String], patience: Option<Duration>) -> Result<(), Trouble> {
    let before = |name: &String| Service::look(&tree.service(name)).restarts_once_up();
    let all: Vec<_> = names.iter().map(|name| (name, before(name))).collect();
    for (name, _) in &all {
        // Who has no supervise yet, or is not ours, is told of below.
        let _ = tell(&tree.service(name), "u");
    }
    each(&all, |(name, before)| begin(tree, name, *before, patience))
}

/// `skynet kill NAME…`: KILL; supervise starts it again unless it was to be down.
pub fn kill(tree: &Tree, args: &Names) -> Acted {
    let picked = tree.pick(&args.names)?;
    each(&picked, |name| kill_one(&tree.service(name), name, args.timeout.unwrap_or(BRIEFLY)))?;
    Ok((0, picked))
}

fn kill_one(dir: &Path, name: &str, patience: Duration) -> Result<(), Trouble> {
    let service = Service::look(dir);
    service.must_be_ours()?;
    let condition = service.condition();
    if let Condition::Up(pid) | Condition::Paused(pid) | Condition::Stopping(pid) = condition {
        tell(dir, "k")?;
        let what = format!("waiting for the end of {name}");
        wait_until_gone(dir, pid, patience, &what).ok_or_else(|| {
            let why = Service::look(dir).deaf().map_or("still running".to_owned(), deaf);
            Trouble::System(format!("cannot kill {name} (pid {pid}): {why}"))
        })?;
        let again = !matches!(condition, Condition::Stopping(_)) && !service.runs_once();
        let again = if again { "; it is started again" } else { "" };
        say!("{name} (pid {pid}) was killed: what it had in hand goes back to the queue{again}");
    } else if let Some(process) = service.orphan() {
        stopping::send(&process, Signal::SIGKILL).map_err(cannot("kill", name))?;
        say!("{name} was killed; no supervise ran for it");
    } else {
        say!("{name} does not run");
    }
    Ok(())
}

/// Waits until the service has another pid than this, or none; `None` when it takes too long.
fn wait_until_gone(dir: &Path, pid: i32, patience: Duration, what: &str) -> Option<()> {
    let waiting = Waiting::at_most(patience);
    let mut progress = crate::progress::Progress::begin();
    waiting.until(|| {
        waiting.watch(&dir.join(names::SUPERVISE));
        progress.tell(|| what.to_owned());
        (Service::look(dir).pid() != Some(pid)).then_some(())
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
    loop {
        let pid = starting::wait_until_up(tree, name, before, patience.unwrap_or(starting::PATIENCE))?;
        let note = listening::wait(tree, name, pid)?;
        if note.is_some() && Service::look(&tree.service(name)).pid() != Some(pid) {
            // It has ended after all, as one that takes long to find out that it cannot do its work.
            continue;
        }
        say!("{name} is up (pid {pid})");
        if let Some(note) = note {
            say!("note: {note}");
        }
        return Ok(());
    }
}

/// Takes a service directory away: its name first, so that nothing of it is started again.
///
/// # Errors
/// What renaming and removing reports; when something does not end.
pub fn take_away(tree: &Tree, name: &str) -> Result<(), Trouble> {
    let dir = tree.service(name);
    // A name that no other command uses: what it takes away is its own to look after.
    let gone = tree.scan_dir().join(format!(".{name}{GONE}{}", std::process::id()));
    match fs::rename(&dir, &gone) {
        // Another command has taken it away meanwhile.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(cannot("remove", dir.display()))?,
    }
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
        say!("{name} had to be killed: what it had in hand goes back to the queue");
    }
    Ok(killed)
}

/// 1 when something had to be killed.
fn exit_code(killed: &[String]) -> u8 {
    u8::from(!killed.is_empty())
}
