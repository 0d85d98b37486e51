//! The program that a log goes through when it is rotated.

use crate::dir::Dir;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use unix::handed::hand;

/// What it reads and writes.
pub struct Files {
    previous: File,
    processed: File,
    state: File,
    newstate: File,
}

/// How it ended.
pub enum End {
    /// With 0.
    Good,
    /// With another code.
    Bad,
    /// By a signal.
    Crashed(String),
}

impl Files {
    /// Opens them anew: what an earlier try made is gone. A state that is missing is empty.
    ///
    /// # Errors
    /// The file that cannot be opened, and why.
    pub fn open(dir: &Dir) -> Result<Self, (&'static str, io::Error)> {
        let state = match dir.read("state") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                dir.empty("state").and_then(|_| dir.read("state"))
            }
            other => other,
        };
        Ok(Self {
            previous: dir.read("previous").map_err(|e| ("previous", e))?,
            processed: dir.empty("processed").map_err(|e| ("processed", e))?,
            state: state.map_err(|e| ("state", e))?,
            newstate: dir.empty("newstate").map_err(|e| ("newstate", e))?,
        })
    }
}

/// Runs `sh -c COMMAND` in the log directory: descriptor 0 is `previous`, 1 `processed`, 4 `state`, 5 `newstate`.
///
/// # Errors
/// What starting or waiting for the shell reports.
pub fn run(dir: &Dir, files: Files, command: &OsStr) -> io::Result<End> {
    let mut shell = Command::new("/bin/sh");
    shell.arg0("sh").arg("-c").arg(command).stdin(files.previous).stdout(files.processed);
    hand(&mut shell, dir.descriptor()?, vec![(files.state.into(), 4), (files.newstate.into(), 5)])?;
    let status = shell.stderr(Stdio::inherit()).status()?;
    Ok(match status.signal() {
        Some(signal) => End::Crashed(format!("ended by signal {signal}")),
        None if status.success() => End::Good,
        None => End::Bad,
    })
}
