//! `reaper N FOLDER PROGRAM ARGUMENT…`: runs a program and kills it at its Nth system call that others can see.
//!
//! Such calls write, sync, rename or remove something, send, or open something below FOLDER. They are counted over all
//! threads, when they begin: the Nth is not done any more. (strace's `inject` counts per thread and call: what a second
//! thread does before the first has done as much is never reached.) Says which call it was on standard error and
//! exits with 137; a program that ends before exits with its own code, and how many there were is said.

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

/// The calls that count wherever they go to.
const CALLS: &[(i64, &str)] = &[
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir"),
];

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [at, folder, program @ ..] = arguments.as_slice() else {
        return Err(io::Error::other("usage: reaper N FOLDER PROGRAM ARGUMENT…"));
    };
    let at = at.parse().map_err(io::Error::other)?;
    // It waits until it is traced, and becomes the program then.
    let mut child = Command::new("sh")
        .args(["-c", "read go; exec \"$@\" </dev/null", "sh"])
        .args(program)
        .stdin(Stdio::piped())
        .spawn()?;
    let main = Pid::from_raw(child.id() as i32);
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options)?;
    ptrace::interrupt(main)?;
    child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"go\n"))?;
    let mut reaper = Reaper { main, at, folder, seen: 0, inside: HashSet::new() };
    loop {
        let status = waitpid(None, Some(WaitPidFlag::__WALL))?;
        match status {
            WaitStatus::Exited(pid, code) if pid == main => {
                eprintln!("reaper: {} calls", reaper.seen);
                return Ok(ExitCode::from(code as u8));
            }
            WaitStatus::Signaled(pid, ..) if pid == main => return Ok(ExitCode::from(137)),
            _ => reaper.stopped(status)?,
        }
    }
}

struct Reaper<'a> {
    main: Pid,
    at: u64,
    folder: &'a str,
    seen: u64,
    /// Threads that are in a call.
    inside: HashSet<Pid>,
}

impl Reaper<'_> {
    /// Lets a thread that stopped go on, after a look at the call that it begins.
    fn stopped(&mut self, status: WaitStatus) -> io::Result<()> {
        let (pid, signal) = match status {
            WaitStatus::PtraceSyscall(pid) => {
                // Each call stops it twice.
                if !self.inside.remove(&pid) {
                    self.inside.insert(pid);
                    self.begins(pid)?;
                }
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                self.inside.remove(&pid);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match ptrace::syscall(pid, signal) {
            // It was killed meanwhile.
            Err(nix::errno::Errno::ESRCH) | Ok(()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn begins(&mut self, pid: Pid) -> io::Result<()> {
        let Ok((number, first, second)) = call(pid) else { return Ok(()) };
        let name = match CALLS.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => (*name).to_owned(),
            None if number == libc::SYS_openat => {
                let path = text(pid, second);
                if !path.starts_with(self.folder) {
                    return Ok(());
                }
                format!("openat {path}")
            }
            None => return Ok(()),
        };
        self.seen += 1;
        if self.seen == self.at {
            eprintln!("reaper: killed at call {}, {name} ({first:#x}) of thread {pid}", self.at);
            kill(self.main, Signal::SIGKILL)?;
        }
        Ok(())
    }
}

/// The number of a call that begins, and its first two arguments.
#[cfg(target_arch = "x86_64")]
fn call(pid: Pid) -> nix::Result<(i64, u64, u64)> {
    let registers = ptrace::getregs(pid)?;
    Ok((registers.orig_rax as i64, registers.rdi, registers.rsi))
}

#[cfg(target_arch = "aarch64")]
fn call(pid: Pid) -> nix::Result<(i64, u64, u64)> {
    let registers = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(pid)?;
    Ok((registers.regs[8] as i64, registers.regs[0], registers.regs[1]))
}

/// The text at an address of a thread, as far as it can be read.
fn text(pid: Pid, address: u64) -> String {
    let word = |n: u64| ptrace::read(pid, (address + 8 * n) as ptrace::AddressType).ok();
    let bytes = (0..512).map_while(word).flat_map(i64::to_ne_bytes).take_while(|byte| *byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}
