//! Work done by any program: a process per workitem.
//!
//! The program gets the workitem's JSON on standard input and answers on standard output with the workitem, or
//! with an object of changed `fields`. Exit code 0 = done, anything else an error (100: a permanent one) whose
//! message is the last lines of standard error, all of which are in the log.

use crate::workers::{Job, Order, Outcome, Report, Workers};
use config::Settings;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use state::lines::Lines;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc::UnboundedSender;
use tracing::info;
use workitem::answer::answer;
use workitem::{ErrorInfo, forget, safe_name};

/// How many last lines of standard error become the message.
const LAST_LINES: usize = 5;
/// How long a line of its may be, in bytes.
const LONGEST_LINE: u64 = 64 << 10;
/// How long those that a program left behind may hold its pipes.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// How long a program that is cancelled may take to end by TERM.
const ASKED: Duration = Duration::from_secs(5);
/// The same where it is cancelled by force.
const FORCED: Duration = Duration::from_secs(1);

/// Runs the program of `exec = [...]`.
pub struct ExecWorkers {
    settings: Arc<Settings>,
    environment: Vec<(OsString, OsString)>,
    lines: Arc<Lines>,
    reports: UnboundedSender<Report>,
    groups: Arc<Groups>,
}

/// The programs that run.
type Groups = Mutex<HashMap<u64, Group>>;

/// A program and all that it has started.
struct Group {
    leader: Pid,
    /// Why it was told to end.
    cancelled: Option<String>,
}

impl ExecWorkers {
    /// Workers whose programs get these variables too; what the programs say is kept in `lines`. Must be called within
    /// a tokio runtime.
    pub fn new(
        settings: Arc<Settings>,
        environment: Vec<(OsString, OsString)>,
        lines: Arc<Lines>,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self { settings, environment, lines, reports, groups: Arc::default() }
    }

    /// TERM, and KILL where that does not end it.
    fn cancel(&self, id: u64, force: bool, reason: &str) {
        let groups = Arc::clone(&self.groups);
        let reason = reason.to_owned();
        let signal = move |groups: &Groups, signal| {
            let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(group) = groups.get_mut(&id) {
                group.cancelled.get_or_insert_with(|| reason.clone());
                // One that has just ended needs no signal.
                let _ = killpg(group.leader, signal);
            }
        };
        signal(&groups, Signal::SIGTERM);
        tokio::spawn(async move {
            tokio::time::sleep(if force { FORCED } else { ASKED }).await;
            signal(&groups, Signal::SIGKILL);
        });
    }

    fn signal_all(&self, signal: Signal) {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for group in groups.values() {
            // One that has just ended needs no signal.
            let _ = killpg(group.leader, signal);
        }
    }
}

impl Workers for ExecWorkers {
    fn order(&self, order: Order) {
        match order {
            Order::Handle(job) => {
                let (settings, reports) = (Arc::clone(&self.settings), self.reports.clone());
                let (groups, lines) = (Arc::clone(&self.groups), Arc::clone(&self.lines));
                let child = start(&settings, &self.environment, &job);
                tokio::spawn(async move {
                    let id = job.id;
                    let outcome = handle(&settings, job, child, &groups, &lines).await;
                    // The session is over: nobody wants to know.
                    let _ = reports.send(Report::Done { id, outcome });
                });
            }
            Order::Cancel { id, force, reason } => self.cancel(id, force, &reason),
            // A program is asked by nobody: its answer is what it writes at its end.
            Order::Ask { .. } => {}
            Order::Die => self.signal_all(Signal::SIGTERM),
            Order::Stop => self.signal_all(Signal::SIGKILL),
        }
    }
}

async fn handle(
    settings: &Settings,
    job: Job,
    child: io::Result<Child>,
    groups: &Groups,
    lines: &Lines,
) -> Outcome {
    let mut child = match child {
        Ok(child) => child,
        Err(e) => {
            let program = settings.exec.first().map_or("", String::as_str);
            return failed(settings, &job, format!("cannot run {program}: {}", config::file::words(&e)));
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let lock = || groups.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(leader) = pid {
        lock().insert(job.id, Group { leader, cancelled: None });
    }
    let talked = talk(&mut child, &job, settings, lines).await;
    let cancelled = lock().remove(&job.id).and_then(|group| group.cancelled);
    match talked {
        Ok(talk) if talk.too_long => {
            failed(settings, &job, format!("its answer is longer than max_body, {} bytes", settings.max_body))
        }
        Ok(Talk { status, output, .. }) if status.success() => match answer(&job.body, &job.fei, &output) {
            Ok(reply) if forget(&reply) => Outcome::Forget,
            Ok(reply) => Outcome::Reply(reply),
            Err(wrong) => failed(settings, &job, format!("its answer {wrong}")),
        },
        Ok(Talk { status, last, .. }) => {
            let said = last.join("\n");
            let how = describe(status);
            let parts = [cancelled.unwrap_or_default(), how, said];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            failed(settings, &job, parts.join(": "))
        }
        Err(e) => failed(settings, &job, format!("cannot talk to the program: {e}")),
    }
}

fn start(settings: &Settings, environment: &[(OsString, OsString)], job: &Job) -> io::Result<Child> {
    let (program, args) = settings.exec.split_first().ok_or(io::ErrorKind::NotFound)?;
    Command::new(program)
        .args(args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("SKYNET_WFID", &job.fei.wfid)
        .env("SKYNET_FEI", job.fei.sid())
        .env("SKYNET_PARTICIPANT", &settings.name)
        .env_remove("SKYNET_NOTIFY_FD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// What a program said, and how it ended.
struct Talk {
    status: ExitStatus,
    output: Vec<u8>,
    too_long: bool,
    last: Vec<String>,
}

/// Feeds the program, and reads what it answers and what it says, all at once: none of its pipes may fill up. When
/// it has ended, whatever it left behind in its group has a moment to let go of the pipes, and is killed.
async fn talk(child: &mut Child, job: &Job, settings: &Settings, lines: &Lines) -> io::Result<Talk> {
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut stdin = child.stdin.take().ok_or_else(broken)?;
    let stdout = child.stdout.take().ok_or_else(broken)?;
    let stderr = child.stderr.take().ok_or_else(broken)?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let (mut output, mut last) = (Vec::new(), VecDeque::new());
    let feed = async {
        // A program that does not read its workitem is free to do so.
        let _ = stdin.write_all(&job.body).await;
        drop(stdin);
    };
    let mut bounded = stdout.take(settings.max_body + 1);
    let read = async {
        let done = bounded.read_to_end(&mut output).await;
        if output.len() as u64 > settings.max_body {
            // It would never end writing what nobody reads.
            kill(group);
        }
        done
    };
    let (status, done) = {
        let pipes = async { tokio::join!(feed, read, listen(stderr, job, &settings.name, lines, &mut last)) };
        tokio::pin!(pipes);
        tokio::select! {
            ((), done, ()) = &mut pipes => (child.wait().await?, done),
            status = child.wait() => {
                let rest = tokio::time::timeout(LEFT_BEHIND, &mut pipes).await;
                if rest.is_err() {
                    kill(group);
                }
                (status?, rest.map_or(Ok(0), |((), done, ())| done))
            }
        }
    };
    done?;
    let too_long = output.len() as u64 > settings.max_body;
    Ok(Talk { status, output, too_long, last: last.into() })
}

fn kill(group: Option<Pid>) {
    // One that has just ended needs no signal.
    let _ = group.map(|group| killpg(group, Signal::SIGKILL));
}

/// Passes what the program says on to the log, and keeps the last lines. A line without an end is cut in pieces.
async fn listen(stderr: ChildStderr, job: &Job, name: &str, lines: &Lines, last: &mut VecDeque<String>) {
    let (mut stderr, sid) = (BufReader::new(stderr), job.fei.sid());
    let key = safe_name(&sid);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut stderr).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
        info!(wfid = job.fei.wfid, "{name}: {text}");
        lines.say(&key, "INFO", &text);
        last.push_back(text);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(100), _) => "permanent failure (exit code 100)".into(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

fn failed(settings: &Settings, job: &Job, message: String) -> Outcome {
    let error = ErrorInfo { class: settings.error_class.clone(), message, trace: vec![] };
    Outcome::Failed { left: Some(job.body.clone()), error, details: String::new(), forget: None }
}
