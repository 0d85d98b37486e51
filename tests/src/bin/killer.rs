//! `killer N WHOM PROGRAM [ARGUMENT…]`: runs a program, and kills it with -9 when it is about to do its Nth system call.
//!
//! Counted are the calls of the program and those that its children do before they execute a program of their own, in the
//! order in which they come; what children do afterwards is not looked at. WHOM is `program` (it is killed, also where a
//! child of it is about to do that call, which goes on) or `child` (only calls of children count, and the child is killed).
//! Killed before a call that is not done then, for every N, it is killed at every instant at which the world differs.
//!
//! The last line of its standard output says what came of it: `killed PID before CALL of the program` (or `of a child`), or
//! `through COUNT`: it ended by itself, after so many calls. CALL is what /proc/PID/syscall says. Not strace: its counts
//! are per process and per kind of call, and it would go on with the service.

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::process::{Command, exit};

/// What stands in a group's stop, and at the birth of a child (ptrace(2): PTRACE_EVENT_STOP).
const STOP: i32 = 128;
const EXEC: i32 = 4;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [n, whom, program @ ..] = words.as_slice() else { exit(100) };
    let told = n.parse().map_err(Into::into).and_then(|n| follow(n, whom == "child", program));
    match told {
        Ok(told) => println!("{told}"),
        Err(e) => {
            eprintln!("killer: fatal: {e}");
            exit(111);
        }
    }
}

/// The program, its count, and who of it is looked at.
struct Followed {
    program: Pid,
    children: BTreeSet<Pid>,
    count: u64,
}

fn follow(n: u64, children_only: bool, words: &[String]) -> Result<String, Box<dyn Error>> {
    let mut followed = Followed { program: start(words)?, children: BTreeSet::new(), count: 0 };
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let Some(pid) = status.pid() else { continue };
        match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                followed.children.remove(&pid);
                if pid == followed.program {
                    return Ok(format!("through {}", followed.count));
                }
            }
            WaitStatus::PtraceSyscall(_) if is_entry(pid) && !(children_only && pid == followed.program) => {
                followed.count += 1;
                if followed.count == n {
                    return followed.strike(pid, children_only);
                }
                go_on(pid, None)?;
            }
            // It is somebody else now.
            WaitStatus::PtraceEvent(_, _, EXEC) if pid != followed.program => {
                followed.children.remove(&pid);
                done(ptrace::detach(pid, None))?;
            }
            WaitStatus::PtraceEvent(_, _, STOP) => {
                if pid != followed.program {
                    followed.children.insert(pid);
                }
                go_on(pid, None)?;
            }
            WaitStatus::Stopped(_, signal) => go_on(pid, signal)?,
            _ => go_on(pid, None)?,
        }
    }
}

/// Starts the program, and returns when it is about to do its first call.
fn start(words: &[String]) -> Result<Pid, Box<dyn Error>> {
    let script = "kill -STOP $$; exec \"$@\"";
    let shell = Command::new("/bin/sh").args(["-c", script, "sh"]).args(words).spawn()?;
    let pid = Pid::from_raw(i32::try_from(shell.id())?);
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(pid, options).map_err(|e| format!("may not trace a child of its own (ptrace: {e})"))?;
    kill(pid, Signal::SIGCONT)?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL))? {
            WaitStatus::PtraceEvent(_, _, EXEC) => break,
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                return Err("cannot start the program".into());
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal)?,
            _ => ptrace::cont(pid, None)?,
        }
    }
    go_on(pid, None)?;
    Ok(pid)
}

impl Followed {
    fn strike(&self, caller: Pid, children_only: bool) -> Result<String, Box<dyn Error>> {
        let call = fs::read_to_string(format!("/proc/{caller}/syscall")).unwrap_or_default();
        let call = call.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let of = if caller == self.program { "the program" } else { "a child" };
        let victim = if children_only { caller } else { self.program };
        done(kill(victim, Signal::SIGKILL))?;
        if victim == self.program {
            while !matches!(
                waitpid(victim, Some(WaitPidFlag::__WALL))?,
                WaitStatus::Signaled(..) | WaitStatus::Exited(..)
            ) {}
            // A child that stands at its call goes on, and so does one that is just being born.
            for child in &self.children {
                if ptrace::detach(*child, None).is_err() {
                    let _ = waitpid(*child, Some(WaitPidFlag::__WALL));
                    let _ = ptrace::detach(*child, None);
                }
            }
        } else {
            // The program is to see how its child ended, and to go on with nobody looking.
            self.let_go(victim)?;
        }
        Ok(format!("killed {} before {call} of {of}", victim))
    }

    /// Lets the program go, when its child has died.
    fn let_go(&self, child: Pid) -> Result<(), Box<dyn Error>> {
        let mut child_is_gone = false;
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL))?;
            match status {
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == child => {
                    child_is_gone = true
                }
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == self.program => {
                    return Ok(());
                }
                _ => {}
            }
            let Some(pid) = status.pid().filter(|pid| *pid == self.program) else { continue };
            match status {
                WaitStatus::PtraceSyscall(_) if child_is_gone => {
                    done(ptrace::detach(pid, None))?;
                    break;
                }
                WaitStatus::Stopped(_, signal) => go_on(pid, signal)?,
                _ => go_on(pid, None)?,
            }
        }
        while !matches!(
            waitpid(self.program, None),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_)
        ) {}
        Ok(())
    }
}

fn is_entry(pid: Pid) -> bool {
    const ENTRY: u8 = 1; // PTRACE_SYSCALL_INFO_ENTRY
    ptrace::syscall_info(pid).is_ok_and(|info| info.op == ENTRY)
}

fn go_on(pid: Pid, signal: impl Into<Option<Signal>>) -> Result<(), Errno> {
    done(ptrace::syscall(pid, signal))
}

/// Somebody else may have killed it meanwhile: that is seen by waiting for it.
fn done(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::ESRCH) { Ok(()) } else { result }
}
