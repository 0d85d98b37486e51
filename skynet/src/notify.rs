//! `skynet notify test [NAME]`: runs the command that is told of problems, as supervise would.
//!
//! Which command that is says `service-config`, the helper that supervise itself asks.

use crate::cli::admin::Notify;
use crate::interrupt::Claim;
use crate::local::svscan;
use crate::say::{self, complain, say};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::time;
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use servicedir::names;
use servicedir::policy::Policy;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use unix::process::Pidfd;

/// The event that a command is told of in a test.
const EVENT: &str = "test";
/// How long supervise gives the command.
const LIMIT: Duration = Duration::from_secs(30);
/// Exit code when it was not told, or said that it failed.
const NOT_TOLD: u8 = 1;

/// What became of it.
struct Told {
    ended: Option<ExitStatus>,
    output: String,
}

/// Runs the command of a service, or the one of `boss.conf`, with a test event.
pub fn run(tree: &Tree, wanted: &Notify, json: bool) -> Outcome {
    let Notify::Test { name } = wanted;
    let (service, dir) = match name {
        Some(name) => {
            let picked = tree.pick(std::slice::from_ref(name))?;
            let service = picked.first().cloned().unwrap_or_else(|| name.clone());
            let dir = tree.service(&service);
            (service, dir)
        }
        None => ("skynet".to_owned(), tree.scan_dir()),
    };
    let command = match name {
        Some(_) => of_service(tree, &service, &dir)?,
        None => of_boss_conf(tree)?,
    };
    let [program, arguments @ ..] = command.as_slice() else {
        let whose = name.as_ref().map_or_else(|| "boss.conf".to_owned(), |_| service.clone());
        let sample = sample();
        return Err(Trouble::Failed(format!(
            "{whose} has no notify command, so nobody is told of problems (one for all: skynet config set \
             notify.command '[\"{}\", \"root\"]')",
            sample.display()
        )));
    };
    say!("telling {} of the event {EVENT:?} of {service} …", command.join(" "));
    let told = tell(tree, &service, &dir, program, arguments)?;
    told.output.lines().for_each(|line| say!("  {line}"));
    let good = told.ended.is_some_and(|ended| ended.success());
    if json {
        let code = told.ended.and_then(|ended| ended.code());
        let result = json!({ "service": service, "command": command, "exit": code, "output": told.output, "told": good });
        say::json(&result).map_err(cannot("write", "the result"))?;
    }
    let became = match told.ended.map(|ended| (ended.code(), ended.signal())) {
        Some((Some(0), _)) => {
            say!("it ended with exit code 0: who is behind it has been told");
            return Ok(0);
        }
        Some((Some(code), _)) => format!("ended with exit code {code}"),
        Some((None, signal)) => format!("was ended by signal {}", signal.unwrap_or_default()),
        None => format!("did not end within {} and was killed", time(LIMIT)),
    };
    complain!("the notify command {became}: nobody may have been told ({program})");
    Ok(NOT_TOLD)
}

/// The sample that mails, where packages put it.
fn sample() -> PathBuf {
    let own = fs::read_link("/proc/self/exe").unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new("/usr/lib/skynet")).join("notify/mail")
}

fn of_boss_conf(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let said = config::file::read(&tree.boss_conf())?;
    let words = said.known.get("notify").and_then(|(table, _)| table.get("command")?.as_array().cloned());
    Ok(words.into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect())
}

/// The command that supervise would run.
fn of_service(tree: &Tree, service: &str, dir: &Path) -> Result<Vec<String>, Trouble> {
    if !names::SETTINGS.iter().any(|file| dir.join(file).exists()) {
        return Err(Trouble::Failed(format!(
            "{service} has neither service.toml nor config.exo: supervise treats it as daemontools does, and tells nobody \
             (an empty file will do: touch {})",
            dir.join(names::SERVICE_TOML).display()
        )));
    }
    let helper = fs::read_link("/proc/self/exe").map_err(cannot("find", "this program"))?;
    let helper = helper.with_file_name("service-config");
    let mut asked = Command::new(&helper);
    asked.arg(dir).arg(service).env_remove("SKYNET_HOME").stdin(Stdio::null());
    if let Some(home) = tree.home() {
        asked.env("SKYNET_HOME", home);
    }
    let said = asked.output().map_err(cannot("run", helper.display()))?;
    let words = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() {
        let line = words.lines().next().unwrap_or("it does not say why");
        return Err(Trouble::Failed(format!("cannot read the settings of {service}: {line}")));
    }
    let policy = Policy::from_lines(&String::from_utf8_lossy(&said.stdout));
    policy
        .map(|policy| policy.notify)
        .ok_or_else(|| cannot("read", helper.display())("it is of another version"))
}

/// Runs the command as supervise does: in the service directory, a session of its own, nothing on standard input.
fn tell(
    tree: &Tree,
    service: &str,
    dir: &Path,
    program: &str,
    arguments: &[String],
) -> Result<Told, Trouble> {
    let mut output = tempfile()?;
    let mut command = Command::new(program);
    let interrupts = Claim::new();
    let same = |e: std::io::Error| cannot("keep", "what the command says")(e);
    command.args(arguments).current_dir(dir).process_group(0).stdin(Stdio::null());
    command.stdout(output.try_clone().map_err(same)?).stderr(output.try_clone().map_err(same)?);
    command.env_clear().envs(svscan::environment(tree));
    command.env("SKYNET_SERVICE", service).env("SKYNET_EVENT", EVENT);
    command.env("SKYNET_EXIT", "code 0").env("SKYNET_COUNT", "0");
    let mut child = command.spawn().map_err(cannot("run", format!("the notify command {program}")))?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    let process = Pidfd::open(pid).map_err(cannot("watch", "the notify command"))?;
    let waiting = Waiting::at_most(LIMIT);
    let mut progress = crate::progress::Progress::begin();
    let mut killed = false;
    while !crate::service::has_ended(&process) {
        progress.tell(|| "waiting for the notify command".to_owned());
        let woken = waiting.next_or(Some(PollFd::new(process.as_fd(), PollFlags::POLLIN)));
        let interrupted = interrupts.as_ref().and_then(Claim::take);
        if woken == Woken::Over || interrupted.is_some() {
            // It leads a group of its own and has not been waited for.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            killed = true;
        }
        if let Some(signal) = interrupted {
            let _ = child.wait();
            return Err(Trouble::Interrupted(signal, "the notify command was killed".to_owned()));
        }
    }
    let ended = child.wait().map_err(cannot("wait for", "the notify command"))?;
    let mut said = vec![];
    output.rewind().and_then(|()| output.read_to_end(&mut said)).map_err(same)?;
    Ok(Told { ended: Some(ended).filter(|_| !killed), output: String::from_utf8_lossy(&said).into_owned() })
}

/// A file without a name.
fn tempfile() -> Result<File, Trouble> {
    let made = nix::sys::memfd::memfd_create(c"notify", nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
    made.map(File::from).map_err(cannot("keep", "what the command says"))
}
