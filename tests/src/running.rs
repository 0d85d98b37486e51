//! A program that was started: its output, its end, signals to it.

use crate::process::Process;
use crate::waiting::{DEADLINE, holds_within, wait_until};
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ExitStatus};
use unix::process::{Pidfd, Signal};

/// A program that was started. Dropping it neither waits nor kills: the sandbox does, at its end.
#[derive(Debug)]
pub struct Running {
    pub(crate) child: Child,
    pub(crate) name: String,
    pub(crate) out: PathBuf,
    pub(crate) err: PathBuf,
}

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

impl Done {
    /// Exit code, standard output and standard error: what a transcript holds.
    pub fn told(&self) -> (i32, &str, &str) {
        (self.code.unwrap_or(-1), &self.out, &self.err)
    }

    /// Its standard output; the test fails when the program did not exit with 0.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

impl Running {
    /// Its pid. It stays this program's until the end was asked for.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What it wrote to standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// What it wrote to standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Ok(process) = Pidfd::open(self.pid()) {
            let _ = process.send(signal);
        }
    }

    /// Stops it, and waits until it stands still: before that other threads of it may go on for a while.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let stands = || Process::find(self.pid()).is_none_or(|process| process.state == 'T');
        wait_until(&format!("{} stands still", self.name), stands);
    }

    /// Writes to its standard input, which must be a pipe ([`std::process::Stdio::piped`]).
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) {
        self.child.stdin.as_mut().expect("a piped standard input").write_all(bytes.as_ref()).unwrap();
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Its standard input, to be written by somebody else.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a piped standard input")
    }

    /// Waits until it writes a text, to standard output or standard error.
    pub fn wait_until_it_says(&mut self, text: &str) {
        let said = holds_within(DEADLINE, || self.out().contains(text) || self.err().contains(text));
        assert!(said, "waited in vain until {} says {text:?}: {}", self.name, self.told());
    }

    /// Closes its standard input and waits for its end.
    pub fn finish(&mut self) -> Done {
        self.close_stdin();
        let mut status: Option<ExitStatus> = None;
        let ended = holds_within(DEADLINE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "waited in vain for the end of {}: {}", self.name, self.told());
        let status = status.unwrap();
        Done { code: status.code(), signal: status.signal(), out: self.out(), err: self.err() }
    }

    /// TERM, then its end.
    pub fn terminate(&mut self) -> Done {
        self.signal(Signal::SIGTERM);
        self.finish()
    }

    /// KILL, then its end.
    pub fn kill(&mut self) -> Done {
        self.signal(Signal::SIGKILL);
        self.finish()
    }

    /// What it wrote so far, for messages to people.
    pub fn told(&self) -> String {
        format!("\n--- {} stdout\n{}--- {} stderr\n{}", self.name, self.out(), self.name, self.err())
    }
}
