//! Work done by any program: a process per workitem.
//!
//! The program gets the workitem's JSON on standard input and answers on standard output with the workitem, or
//! with an object of changed `fields`. Exit code 0 = done, anything else an error (100: a permanent one) whose
//! message is the last lines of standard error, all of which are in the log.

use crate::workers::{Job, Order, Outcome, Report, Workers};
use config::Settings;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use workitem::ErrorInfo;

/// How many last lines of standard error become the message.
const LAST_LINES: usize = 5;

/// Runs the program of `exec = [...]`.
pub struct ExecWorkers {
    settings: Arc<Settings>,
    environment: Vec<(OsString, OsString)>,
    reports: UnboundedSender<Report>,
    groups: Arc<Mutex<HashMap<u64, Pid>>>,
}

impl ExecWorkers {
    /// Workers whose programs get these variables too. Must be called within a tokio runtime.
    pub fn new(
        settings: Arc<Settings>,
        environment: Vec<(OsString, OsString)>,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self { settings, environment, reports, groups: Arc::default() }
    }

    fn signal_all(&self, signal: Signal) {
        let groups = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for group in groups.values() {
            // One that has just ended needs no signal.
            let _ = killpg(*group, signal);
        }
    }
}

impl Workers for ExecWorkers {
    fn order(&self, order: Order) {
        match order {
            Order::Handle(job) => {
                let (settings, reports) = (Arc::clone(&self.settings), self.reports.clone());
                let groups = Arc::clone(&self.groups);
                let child = start(&settings, &self.environment, &job);
                tokio::spawn(async move {
                    let id = job.id;
                    let outcome = handle(&settings, job, child, &groups).await;
                    // The session is over: nobody wants to know.
                    let _ = reports.send(Report::Done { id, outcome });
                });
            }
            Order::Die => self.signal_all(Signal::SIGTERM),
            Order::Stop => self.signal_all(Signal::SIGKILL),
        }
    }
}

async fn handle(
    settings: &Settings,
    job: Job,
    child: io::Result<Child>,
    groups: &Mutex<HashMap<u64, Pid>>,
) -> Outcome {
    let mut child = match child {
        Ok(child) => child,
        Err(e) => {
            let program = settings.exec.first().map_or("", String::as_str);
            return failed(settings, &job, format!("cannot run {program}: {e}"));
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let lock = || groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(pid) = pid {
        lock().insert(job.id, pid);
    }
    let talked = talk(&mut child, &job, &settings.name).await;
    lock().remove(&job.id);
    match talked {
        Ok((status, output, _)) if status.success() => merge(settings, &job, &output),
        Ok((status, _, last)) => {
            let said = last.join("\n");
            let message =
                if said.is_empty() { describe(status) } else { format!("{}: {said}", describe(status)) };
            failed(settings, &job, message)
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

type Talk = (ExitStatus, Vec<u8>, Vec<String>);

/// Feeds the program, and reads what it answers and what it says, all at once: none of its pipes may fill up.
async fn talk(child: &mut Child, job: &Job, name: &str) -> io::Result<Talk> {
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut stdin = child.stdin.take().ok_or_else(broken)?;
    let mut stdout = child.stdout.take().ok_or_else(broken)?;
    let stderr = child.stderr.take().ok_or_else(broken)?;
    let feed = async {
        // A program that does not read its workitem is free to do so.
        let _ = stdin.write_all(&job.body).await;
        drop(stdin);
    };
    let answer = async {
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).await.map(|_| output)
    };
    let listen = async {
        let mut last = VecDeque::new();
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            info!("{name} {}: {line}", job.fei.wfid);
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        Vec::from(last)
    };
    let ((), output, last) = tokio::join!(feed, answer, listen);
    Ok((child.wait().await?, output?, last))
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

/// The reply: what the program wrote if that is a workitem, else the workitem with its fields changed.
fn merge(settings: &Settings, job: &Job, output: &[u8]) -> Outcome {
    if output.iter().all(u8::is_ascii_whitespace) {
        return Outcome::Reply(job.body.clone());
    }
    let mut answer: Map<String, Value> = match serde_json::from_slice(output) {
        Ok(answer) => answer,
        Err(e) => return failed(settings, job, format!("its answer is not a JSON object: {e}")),
    };
    if answer.contains_key("fei") {
        return Outcome::Reply(output.to_vec());
    }
    let mut workitem: Map<String, Value> = match serde_json::from_slice(&job.body) {
        Ok(workitem) => workitem,
        Err(e) => return failed(settings, job, format!("the workitem cannot be changed: {e}")),
    };
    let changed = match answer.remove("fields") {
        Some(Value::Object(fields)) => fields,
        _ => answer,
    };
    if let Some(Value::Object(fields)) = workitem.get_mut("fields") {
        fields.extend(changed);
    }
    match serde_json::to_vec(&workitem) {
        Ok(body) => Outcome::Reply(body),
        Err(e) => {
            warn!("{} {}: cannot write the reply: {e}", settings.name, job.fei.wfid);
            failed(settings, job, format!("cannot write the reply: {e}"))
        }
    }
}

fn failed(settings: &Settings, job: &Job, message: String) -> Outcome {
    let error = ErrorInfo { class: settings.error_class.clone(), message, trace: vec![] };
    Outcome::Failed { left: Some(job.body.clone()), error, details: String::new() }
}
