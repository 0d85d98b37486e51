//! `skynet run NAME`: a participant in the foreground, its log on the terminal, started anew on every save.
//! With `--json` what happens to it are lines of JSON, and its log is on standard error.

use crate::cli::author::Run;
use crate::interrupt::exit_code;
use crate::local::broker::{self, Broker};
use crate::participant::Participant;
use crate::say::{self, complain, say};
use crate::service::{Condition, Service, has_ended};
use crate::starting::svscan_runs;
use crate::stopping::send;
use crate::testing::path_with_ours;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};
use unix::process::{Pidfd, Signal};

const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// When nothing has been written for so long, saving is over.
const QUIET: Duration = Duration::from_millis(50);
/// How deep folders of a participant are watched.
const DEEPEST: usize = 4;

/// What the files of a participant are like: a save changes it.
type Print = BTreeMap<PathBuf, (SystemTime, u64)>;

/// What happens to it, as `--json` tells it. The schema stands in docs/reference/json.md.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Started { pid: u32 },
    Saved { file: &'a str },
    Ended { exit: Option<i32>, signal: Option<i32> },
}

/// A participant that runs.
struct Running {
    child: Child,
    process: Pidfd,
}

/// Runs it until ^C.
pub fn run(tree: &Tree, args: &Run, json: bool) -> Outcome {
    let participant = Participant::find(tree, &args.name)?;
    let tell = |event: Event| {
        if json { say::json_line(&event).map_err(cannot("write", "the result")) } else { Ok(()) }
    };
    note_that_it_is_down(tree)?;
    for service in participant.services() {
        if let Condition::Up(pid) = Service::look(&tree.service(&service)).condition() {
            let line = "both take workitems from one queue";
            complain!("warning: {service} is up as well (pid {pid}): {line} (skynet stop {service})");
        }
    }
    let waiting = Waiting::at_most(FOR_EVER).with_signals();
    let mut before = look(&participant.dir, &waiting);
    loop {
        let mut running = start(tree, &participant.dir, json)?;
        tell(Event::Started { pid: running.child.id() })?;
        let ended = loop {
            let process = PollFd::new(running.process.as_fd(), PollFlags::POLLIN);
            if let Woken::Interrupted(signal) = waiting.next_or(Some(process)) {
                let ended = end(&mut running, &waiting)?;
                tell(Event::Ended { exit: ended.code(), signal: ended.signal() })?;
                return Ok(exit_code(signal));
            }
            if has_ended(&running.process) {
                break Some(running.child.wait().map_err(cannot("wait for", "the participant"))?);
            }
            if let Some(changed) = changed(&mut before, &participant.dir, &waiting) {
                say!("── {changed} was saved: starting anew");
                tell(Event::Saved { file: &changed })?;
                let ended = end(&mut running, &waiting)?;
                tell(Event::Ended { exit: ended.code(), signal: ended.signal() })?;
                break None;
            }
        };
        let Some(ended) = ended else { continue };
        tell(Event::Ended { exit: ended.code(), signal: ended.signal() })?;
        say!("── {} {}; it starts again when you save a file (^C ends)", participant.name, how(ended));
        if args.once {
            return Ok(u8::from(!ended.success()));
        }
        let saved = loop {
            match waiting.next() {
                Woken::Look => match changed(&mut before, &participant.dir, &waiting) {
                    Some(file) => break file,
                    None => continue,
                },
                Woken::Interrupted(signal) => return Ok(exit_code(signal)),
                Woken::Over => return Ok(u8::from(!ended.success())),
            }
        };
        say!("── {saved} was saved: starting anew");
        tell(Event::Saved { file: &saved })?;
    }
}

/// The broker of a home runs only while the home is up.
fn note_that_it_is_down(tree: &Tree) -> Result<(), Trouble> {
    let elsewhere = matches!(broker::chosen(tree)?, Some(Broker::Elsewhere));
    if !elsewhere && !svscan_runs(tree) {
        complain!(
            "note: the SkyNET here is not up, and so there is no broker (start it with: skynet local up)"
        );
    }
    Ok(())
}

fn start(tree: &Tree, dir: &Path, json: bool) -> Result<Running, Trouble> {
    let mut command = Command::new(dir.join("run"));
    command.current_dir(dir).env("PATH", path_with_ours()).stdin(Stdio::null());
    if let Some(home) = tree.home() {
        command.env("SKYNET_HOME", home);
    }
    if json {
        let err = std::io::stderr().as_fd().try_clone_to_owned();
        command.stdout(err.map_err(cannot("keep", "standard error"))?);
    }
    // ^C is for us: we tell it to finish.
    let child = command.process_group(0).spawn().map_err(cannot("run", dir.join("run").display()))?;
    let process = Pidfd::open(child.id() as i32).map_err(cannot("watch", "the participant"))?;
    Ok(Running { child, process })
}

/// TERM, and it may finish its work; ^C again hurries it, once more kills it.
fn end(running: &mut Running, waiting: &Waiting) -> Result<ExitStatus, Trouble> {
    let tell = |process: &Pidfd, signal| send(process, signal).map_err(cannot("stop", "the participant"));
    tell(&running.process, Signal::SIGTERM)?;
    let mut hurried = false;
    while !has_ended(&running.process) {
        let process = PollFd::new(running.process.as_fd(), PollFlags::POLLIN);
        if let Woken::Interrupted(_) = waiting.next_or(Some(process)) {
            tell(&running.process, if hurried { Signal::SIGKILL } else { Signal::SIGTERM })?;
            say!("{}", if hurried { "killed" } else { "it finishes its work (^C again kills)" });
            hurried = true;
        }
    }
    running.child.wait().map_err(cannot("wait for", "the participant"))
}

/// Which file was saved, made or removed since.
fn changed(before: &mut Print, dir: &Path, waiting: &Waiting) -> Option<String> {
    let now = look(dir, waiting);
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    let file = now.keys().chain(before.keys()).find(differs).cloned();
    *before = now;
    if file.is_some() {
        settle(before, dir);
    }
    file.map(|path| path.strip_prefix(dir).unwrap_or(&path).display().to_string())
}

/// Waits until what is being saved has been saved: editors truncate, write and rename.
fn settle(before: &mut Print, dir: &Path) {
    let waiting = Waiting::at_most(QUIET);
    let _ = look(dir, &waiting);
    let mut until = Instant::now() + QUIET;
    while Instant::now() < until {
        waiting.next();
        let now = look(dir, &waiting);
        if now != *before {
            *before = now;
            until = Instant::now() + QUIET;
        }
    }
}

fn look(dir: &Path, waiting: &Waiting) -> Print {
    let mut print = Print::new();
    collect(dir, 0, waiting, &mut print);
    print
}

/// Not what editors and Python leave behind, nor what the participant itself writes below `log`.
fn collect(dir: &Path, depth: usize, waiting: &Waiting, print: &mut Print) {
    waiting.watch(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let dropping =
            name.starts_with('.') || name.ends_with('~') || name.ends_with(".pyc") || name.ends_with(".log");
        if dropping || ["__pycache__", "log", "supervise"].contains(&name.as_str()) {
            continue;
        }
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_dir() && depth < DEEPEST {
            collect(&path, depth + 1, waiting, print);
        } else if meta.is_file() {
            print.insert(path, (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()));
        }
    }
}

fn how(ended: ExitStatus) -> String {
    match (ended.code(), ended.signal()) {
        (Some(0), _) => "ended".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}
