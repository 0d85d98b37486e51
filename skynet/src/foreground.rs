//! `skynet run NAME`: a participant in the foreground, its log on the terminal, started anew on every save.
//! With `--json` what happens to it are lines of JSON, and its log is on standard error.

use crate::cli::author::Run;
use crate::interrupt::{exit_code, is_hang_up};
use crate::local::broker::{self, Broker};
use crate::participant::Participant;
use crate::saved::Files;
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
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use unix::process::{Pidfd, Signal};

const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

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

/// What is waited for.
enum News {
    /// The process has ended by itself.
    Ended,
    /// This file was saved.
    Saved(String),
    /// This signal ends us.
    Interrupted(i32),
}

/// Runs it until ^C.
pub fn run(tree: &Tree, args: &Run, json: bool) -> Outcome {
    let participant = Participant::find(tree, &args.name)?;
    let tell = |event: Event| {
        if json { say::json_line(&event).map_err(cannot("write", "the result")) } else { Ok(()) }
    };
    let tell_end = |ended: ExitStatus| tell(Event::Ended { exit: ended.code(), signal: ended.signal() });
    let tell_save = |file: &str| {
        say!("── {file} was saved: starting anew");
        tell(Event::Saved { file })
    };
    note_that_it_is_down(tree)?;
    note_who_is_up(tree, &participant);
    let waiting = Waiting::at_most(FOR_EVER).with_signals();
    let mut files = Files::look(&participant.dir, &waiting);
    loop {
        let mut running = start(tree, &participant.dir, json)?;
        tell(Event::Started { pid: running.child.id() })?;
        let news = wait(&waiting, &mut files, Some(&running));
        if let News::Saved(file) = &news {
            tell_save(file)?;
        }
        let ended = match news {
            News::Ended => running.child.wait().map_err(cannot("wait for", "the participant"))?,
            News::Saved(_) | News::Interrupted(_) => end(&mut running, &waiting)?,
        };
        tell_end(ended)?;
        match news {
            News::Interrupted(signal) => return Ok(exit_code(signal)),
            News::Saved(_) => continue,
            News::Ended => {}
        }
        let next = if args.once { "" } else { "; it starts again when you save a file (^C ends)" };
        say!("── {} {}{next}", participant.name, how(ended));
        if args.once {
            return Ok(u8::from(!ended.success()));
        }
        match wait(&waiting, &mut files, None) {
            News::Saved(file) => tell_save(&file)?,
            News::Interrupted(signal) => return Ok(exit_code(signal)),
            News::Ended => {}
        }
    }
}

/// Waits for what comes first; where nothing runs, nothing ends.
fn wait(waiting: &Waiting, files: &mut Files, running: Option<&Running>) -> News {
    loop {
        let process = running.map(|running| PollFd::new(running.process.as_fd(), PollFlags::POLLIN));
        if let Woken::Interrupted(signal) = waiting.next_or(process) {
            return News::Interrupted(signal);
        }
        if running.is_some_and(|running| has_ended(&running.process)) {
            return News::Ended;
        }
        if let Some(file) = files.changed(waiting) {
            return News::Saved(file);
        }
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

/// Who takes the same workitems.
fn note_who_is_up(tree: &Tree, participant: &Participant) {
    for service in participant.services() {
        if let Condition::Up(pid) = Service::look(&tree.service(&service)).condition() {
            let line = "both take workitems from one queue";
            complain!("warning: {service} is up as well (pid {pid}): {line} (skynet stop {service})");
        }
    }
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
        if let Woken::Interrupted(signal) = waiting.next_or(Some(process))
            && !is_hang_up(signal)
        {
            tell(&running.process, if hurried { Signal::SIGKILL } else { Signal::SIGTERM })?;
            say!("{}", if hurried { "killed" } else { "it finishes its work (^C again kills)" });
            hurried = true;
        }
    }
    running.child.wait().map_err(cannot("wait for", "the participant"))
}

fn how(ended: ExitStatus) -> String {
    match (ended.code(), ended.signal()) {
        (Some(0), _) => "ended".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}
