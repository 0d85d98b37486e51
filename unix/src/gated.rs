//! A child that executes its program only once its parent has put it on record.
//!
//! The child waits for one byte on a pipe. If the parent dies before it sends that byte, the child reads end
//! of file and exits: whatever runs can be found by whoever comes after the parent.

use crate::fds;
use crate::words;
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, fork};
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// A program to run and what to say when it cannot be run. Made once, before any fork.
pub struct Program {
    path: CString,
    environment: Vec<CString>,
    complaint: CString,
}

impl Program {
    /// `path` with itself as only argument and the present environment without the variable `hidden`. When it cannot be executed the child
    /// writes `complaint`, the error's word and a newline to standard error and exits 111.
    pub fn new(path: CString, complaint: CString, hidden: &str) -> Self {
        use std::os::unix::ffi::OsStringExt;
        let environment =
            std::env::vars_os().filter(|(name, _)| name != hidden).filter_map(|(name, value)| {
                let mut entry = name.into_vec();
                entry.push(b'=');
                entry.extend(value.into_vec());
                CString::new(entry).ok() // an environment never holds NUL
            });
        Self { path, environment: environment.collect(), complaint }
    }

    /// Forks a child that waits behind its gate.
    ///
    /// # Errors
    /// What `pipe` or `fork` reports.
    pub fn fork(&self) -> io::Result<Gated> {
        let (closed_side, open_side) = fds::pipe()?;
        let argv = [self.path.as_ptr(), ptr::null()];
        let envp: Vec<_> =
            self.environment.iter().map(|e| e.as_ptr()).chain(std::iter::once(ptr::null())).collect();
        // A signal that came between fork and exec would meet our handlers in the child and be lost: it waits
        // until the child has its default dispositions.
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        // SAFETY: between fork and exec the child runs `wait_and_execute` only, which allocates nothing,
        // takes no lock and calls async-signal-safe functions (signal-safety(7)).
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            self.wait_and_execute(closed_side, open_side, &argv, &envp)
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        match forked? {
            ForkResult::Parent { child } => Ok(Gated { pid: child.as_raw(), gate: open_side.into() }),
            ForkResult::Child => unreachable!("the child never returns from wait_and_execute"),
        }
    }

    fn wait_and_execute(
        &self,
        closed_side: OwnedFd,
        open_side: OwnedFd,
        argv: &[*const libc::c_char],
        envp: &[*const libc::c_char],
    ) -> ! {
        reset_signals();
        // Our own copy of the open side would keep end of file from us.
        drop(open_side);
        let mut byte = [0];
        let opened = loop {
            match nix::unistd::read(&closed_side, &mut byte) {
                Err(Errno::EINTR) => {}
                other => break other == Ok(1),
            }
        };
        if !opened {
            exit_now(111);
        }
        // SAFETY: both arrays end with null and their strings are owned by `self`, which outlives the call.
        unsafe { libc::execve(self.path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let word = words::known(Errno::last_raw()).unwrap_or("system error");
        say(&self.complaint, word);
        exit_now(111)
    }
}

/// A child that waits for [`Gated::open`]. Dropped without it, the child exits and its program never runs.
pub struct Gated {
    /// The child's process id.
    pub pid: i32,
    gate: io::PipeWriter,
}

impl Gated {
    /// Lets the child execute its program.
    ///
    /// # Errors
    /// EPIPE when the child is gone already; then its end will be reported as any other.
    pub fn open(mut self) -> io::Result<()> {
        self.gate.write_all(&[1])
    }
}

/// Default dispositions and an empty mask: what the parent ignores or blocks is no business of the child's.
fn reset_signals() {
    for s in Signal::iterator() {
        if s != Signal::SIGKILL && s != Signal::SIGSTOP {
            // SAFETY: SIG_DFL installs no handler of ours.
            let _ = unsafe { signal(s, SigHandler::SigDfl) };
        }
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

fn say(complaint: &CStr, word: &str) {
    for part in [complaint.to_bytes(), word.as_bytes(), b"\n"] {
        // SAFETY: pointer and length are those of a live slice.
        unsafe { libc::write(io::stderr().as_raw_fd(), part.as_ptr().cast(), part.len()) };
    }
}

fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without running what the parent registered for its own exit.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    fn end_of(pid: i32) -> WaitStatus {
        waitpid(Pid::from_raw(pid), None).unwrap()
    }

    fn program(path: &str) -> Program {
        Program::new(CString::new(path).unwrap(), c"test: fatal: unable to start it: ".into(), "")
    }

    #[test]
    fn an_opened_gate_lets_the_program_run() {
        let child = program("/bin/true").fork().unwrap();
        let pid = child.pid;
        child.open().unwrap();
        assert_eq!(end_of(pid), WaitStatus::Exited(Pid::from_raw(pid), 0));
    }

    #[test]
    fn a_dropped_gate_means_the_program_never_runs() {
        let child = program("/bin/true").fork().unwrap();
        let pid = child.pid;
        drop(child);
        assert_eq!(end_of(pid), WaitStatus::Exited(Pid::from_raw(pid), 111));
    }

    #[test]
    fn a_program_that_cannot_run_ends_with_111() {
        let child = program("/no/such/program").fork().unwrap();
        let pid = child.pid;
        child.open().unwrap();
        assert_eq!(end_of(pid), WaitStatus::Exited(Pid::from_raw(pid), 111));
    }
}
