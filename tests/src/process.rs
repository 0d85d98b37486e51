//! Processes as /proc shows them. One in state Z counts as gone: a container's PID 1 may not reap.

use std::fs;
use std::path::{Path, PathBuf};
use unix::process::{Pidfd, Signal};

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// The pid of its parent.
    pub parent: i32,
    /// The letter of its state (proc(5)): R S D T t.
    pub state: char,
    /// Its command line, words separated by blanks.
    pub words: String,
    /// What it is called by: its first word, without a folder, which may have blanks in its name.
    pub program: String,
}

impl Process {
    /// Looks a process up; `None` when it is gone or in its grave.
    pub fn find(pid: i32) -> Option<Self> {
        let (state, parent) = state(pid)?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let first = words.split('\0').next().unwrap_or_default();
        let program = first.rsplit('/').next().unwrap_or_default().to_owned();
        let words = words.replace('\0', " ").trim_end().to_owned();
        (state != 'Z').then_some(Self { pid, parent, state, words, program })
    }

    /// All that live now.
    pub fn all() -> impl Iterator<Item = Self> {
        pids().filter_map(Self::find)
    }

    /// The children of a process that live now.
    pub fn children(parent: i32) -> Vec<Self> {
        Self::all().filter(|process| process.parent == parent).collect()
    }

    /// Whether one of its descriptors is open on this path.
    pub fn holds(&self, path: &Path) -> bool {
        self.descriptors().iter().any(|(_, target)| target == path)
    }

    /// Its open descriptors and what they lead to.
    pub fn descriptors(&self) -> Vec<(i32, PathBuf)> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return vec![] };
        let descriptor = |entry: fs::DirEntry| {
            Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?))
        };
        entries.flatten().filter_map(descriptor).collect()
    }
}

/// Whether a process lives.
pub fn lives(pid: i32) -> bool {
    state(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Whether a process has taken all signals that were sent to it, and sleeps again.
pub fn is_at_rest(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // SigPnd and ShdPnd (proc(5)). The state is looked at afterwards: one that sleeps may be about to take a signal.
    let none = |name: &str| status.lines().any(|line| line == format!("{name}:\t0000000000000000"));
    none("SigPnd") && none("ShdPnd") && state(pid).is_some_and(|(state, _)| state == 'S')
}

/// Sends a signal to a process, if it is still there.
pub fn signal(pid: i32, signal: Signal) {
    if let Ok(process) = Pidfd::open(pid) {
        let _ = process.send(signal);
    }
}

/// State letter and parent of a process, dead ones too that nobody has waited for.
pub(crate) fn state(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
