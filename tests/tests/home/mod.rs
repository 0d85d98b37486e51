//! A home of its own for each test: the real `skynet` in a temporary folder, and nothing left afterwards.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![allow(dead_code, reason = "each test file uses its part of it")]

pub mod promised;
pub mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;
pub use tests::files::executable;
use tests::process;
pub use tests::wait_until;
use tests::waiting::{DEADLINE, holds_within};
use unix::process::{Pidfd, Signal};

/// Where the programs under test lie.
pub fn bin() -> PathBuf {
    match std::env::var_os("SKYNET_BIN") {
        Some(bin) => bin.into(),
        None => tests::checkout().join("target/skynet/bin"),
    }
}

/// A home in a temporary folder. When it is dropped everything in it is stopped, by force if need be.
pub struct Home {
    /// The temporary folder, in which participants lie too.
    pub folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("skynet-home-").tempdir().unwrap();
        // When root runs the tests, handlers run as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// A home that is up, on a broker that is never asked.
    pub fn up_without_broker() -> Self {
        let home = Self::new();
        fs::create_dir(home.root()).unwrap();
        fs::write(home.path("boss.conf"), "[amqp]\nurl = \"amqp://nobody@127.0.0.1:1/\"\n").unwrap();
        home.good(&["local", "up"]);
        home
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// `skynet` with these words, not started yet: a cleared environment, the temporary folder as working directory.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(bin().join("skynet"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("SKYNET_HOME", self.root())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, words: &[&str]) -> Child {
        self.command(words).spawn().unwrap()
    }

    /// Runs `skynet` to its end.
    pub fn skynet(&self, words: &[&str]) -> Done {
        finish(self.start(words))
    }

    /// Runs `skynet`, which must succeed, and returns what it printed.
    pub fn good(&self, words: &[&str]) -> String {
        let done = self.skynet(words);
        assert_eq!(done.code, Some(0), "skynet {words:?}: {done:?}");
        done.out
    }

    /// The pid on record of the svscan of this home.
    pub fn svscan(&self) -> i32 {
        let record = fs::read_to_string(self.path("run/svscan")).unwrap();
        record.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Kills a process of this home and waits until it is gone.
    pub fn kill(&self, pid: i32) {
        assert!(self.processes().iter().any(|process| process.pid == pid), "{pid} is not of this home");
        process::signal(pid, Signal::SIGKILL);
        wait_until("the killed process is gone", || !process::lives(pid));
    }

    /// All living processes of this home, told by their environment.
    pub fn processes(&self) -> Vec<Process> {
        let mark = format!("SKYNET_HOME={}", self.root().display()).into_bytes();
        let ours = |process: &Process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark)
        };
        process::Process::all()
            .map(|p| Process { pid: p.pid, words: p.words, program: p.program })
            .filter(ours)
            .collect()
    }

    /// Waits until all services and loggers are what they are to become, and returns the processes of this home.
    pub fn settled(&self) -> Vec<Process> {
        let entries =
            |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let runs = |dir: PathBuf| {
            let pid = servicedir::client::status(&dir).ok().and_then(|status| status.pid);
            let found = pid.and_then(process::Process::find);
            // Neither the supervise's child that has not executed `run` yet, nor the shell that is to execute what runs.
            let begins = |process: &process::Process| {
                let words = &process.words;
                process.program == "supervise" || words.is_empty() || words.ends_with(" ./run")
            };
            found.is_some_and(|process| !begins(&process))
        };
        let parts = || entries(self.path("service")).flat_map(|dir| [dir.join("log"), dir]);
        wait_until("all that is enabled runs", || parts().filter(|dir| dir.is_dir()).all(runs));
        self.processes()
    }

    /// How many processes of this home are an svscan, or are about to become something that one starts.
    pub fn svscans(&self) -> usize {
        self.processes().iter().filter(|process| process.program == "svscan").count()
    }

    /// The processes of this home that are neither its svscan nor anything that this has started.
    pub fn strays(&self) -> Vec<Process> {
        let record = fs::read_to_string(self.path("run/svscan")).unwrap_or_default();
        let svscan = record.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let stray = |process: &Process| {
            let above = |pid: &i32| process::Process::find(*pid).map(|found| found.parent);
            std::iter::successors(Some(process.pid), above).all(|pid| Some(pid) != svscan)
        };
        self.processes().into_iter().filter(stray).collect()
    }

    /// Writes a service that runs this shell script, with a log.
    pub fn service(&self, name: &str, script: &str) -> PathBuf {
        let dir = self.folder.path().join(name);
        fs::create_dir_all(dir.join("log")).unwrap();
        executable(dir.join("run"), format!("#!/bin/sh\nexec 2>&1\n{script}\n"));
        let log = format!("#!/bin/sh\nexec multilog t s4096 n100 \"$SKYNET_HOME/log/{name}\"\n");
        executable(dir.join("log/run"), log);
        dir
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.path("run").is_dir() {
            let _ = self.command(&["local", "down"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        // Once is not enough: what is killed late may have started something anew meanwhile.
        holds_within(DEADLINE, || {
            let left = self.processes();
            left.iter().for_each(|process| process::signal(process.pid, Signal::SIGKILL));
            left.is_empty()
        });
    }
}

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub words: String,
    /// Its first word, without a folder.
    pub program: String,
}

/// Whether a line says what is waited for: where there is no terminal, after five seconds.
pub fn is_progress(line: &str) -> bool {
    line.starts_with("waiting for ") || line.starts_with("waiting until ")
}

/// Waits for the end of a command. What it says is without progress, of which there is some on a slow machine only.
pub fn finish(child: Child) -> Done {
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr)
            .split_inclusive('\n')
            .filter(|line| !is_progress(line))
            .collect(),
    }
}

/// Whether a command failed with this code and one line that holds this.
#[track_caller]
pub fn assert_one_line(done: &Done, code: i32, part: &str) {
    let whole = done.code == Some(code) && done.err.lines().count() == 1 && done.err.contains(part);
    assert!(whole, "exit code {code}, one line with {part:?}: {done:?}");
}

/// Sends a signal to a command that has not been waited for.
pub fn signal(child: &Child, signal: Signal) {
    Pidfd::open(child.id() as i32).unwrap().send(signal).unwrap();
}

/// The lines that a command prints, while it runs.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(out: ChildStdout) -> Self {
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The next line.
    pub fn next(&mut self) -> String {
        self.0.recv_timeout(DEADLINE).expect("one more line")
    }

    /// Reads on until a line contains this, and returns it.
    pub fn until(&mut self, part: &str) -> String {
        loop {
            match self.0.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(e) => panic!("no line with {part:?}: {e}"),
            }
        }
    }
}

/// Feeds text to a command that was started with a piped standard input.
pub fn feed(child: &mut Child, text: &str) {
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
}
