//! Processes that are not merely numbers: who a pid is, pidfds, reaping.
//!
//! A pid is recycled; a pid with its start time and the boot id is not. Signals to a process that is not our
//! unreaped child go through a [`Pidfd`] only.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::str::SplitAsciiWhitespace;
use std::time::Duration;

pub use nix::sys::signal::Signal;
pub use nix::unistd::Pid;

/// Ends this process at once: nothing that is registered for its exit is run, by any library or interpreter in it.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// What tells one process from every other: pid, start time and the boot it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// Start time in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)).
    pub start_time: u64,
    /// The boot id of the running kernel.
    pub boot_id: [u8; 16],
}

impl Identity {
    /// Looks a process up.
    ///
    /// # Errors
    /// What reading /proc reports; `NotFound` when there is no such process.
    pub fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_time: start_time(pid)?, boot_id: boot_id()? })
    }

    /// This very process.
    ///
    /// # Errors
    /// What reading /proc reports.
    pub fn own() -> io::Result<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }
}

/// Start time of a process in clock ticks since boot.
///
/// # Errors
/// What reading /proc reports.
pub fn start_time(pid: i32) -> io::Result<u64> {
    stat(pid, |_, mut fields| fields.nth(19)?.parse().ok())
}

/// What a process looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// The name of its program, cut to 15 bytes.
    pub name: Vec<u8>,
    /// The pid of its parent.
    pub parent: i32,
    /// Whether it was forked and has not become a program of its own yet: it looks like its parent.
    pub unborn: bool,
}

impl Looks {
    /// Looks at a process.
    ///
    /// # Errors
    /// What reading /proc reports; `NotFound` when there is no such process.
    pub fn of(pid: i32) -> io::Result<Self> {
        const FORKNOEXEC: u32 = 0x40; // PF_FORKNOEXEC, linux/sched.h
        stat(pid, |name, mut fields| {
            let parent = fields.nth(1)?.parse().ok()?;
            let flags: u32 = fields.nth(4)?.parse().ok()?;
            Some(Self { name: name.to_vec(), parent, unborn: flags & FORKNOEXEC != 0 })
        })
    }
}

/// The user whose process this is, in each respect: real, effective, saved and for files. `None` where they differ, as
/// in a set-user-id program, which somebody else named and gave its environment.
///
/// # Errors
/// What reading /proc reports; `NotFound` when there is no such process.
pub fn user(pid: i32) -> io::Result<Option<u32>> {
    let status = fs::read(format!("/proc/{pid}/status"))?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"));
    let ids: Option<Vec<u32>> = line.and_then(|line| {
        str::from_utf8(line).ok()?.split_ascii_whitespace().map(|id| id.parse().ok()).collect()
    });
    match ids.as_deref() {
        Some([first, rest @ ..]) => Ok(rest.iter().all(|id| id == first).then_some(*first)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "cannot parse /proc/PID/status")),
    }
}

/// The pids of all processes.
///
/// # Errors
/// What reading /proc reports.
pub fn pids() -> io::Result<impl Iterator<Item = i32>> {
    Ok(fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Reads from /proc/PID/stat (proc(5)) the name of a process, field 2, and the fields after that.
fn stat<T>(pid: i32, read: impl FnOnce(&[u8], SplitAsciiWhitespace) -> Option<T>) -> io::Result<T> {
    // One read brings all of it, as long as it may be: 52 numbers of at most 20 digits, and a name of 64 bytes.
    let mut buffer = [0; 2048];
    let length = fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut buffer)?;
    let stat = &buffer[..length];
    // The name may hold anything, blanks and parentheses too: it goes to the last parenthesis.
    let read = || {
        let open = stat.iter().position(|&c| c == b'(')?;
        let close = stat.iter().rposition(|&c| c == b')')?;
        read(stat.get(open + 1..close)?, str::from_utf8(&stat[close + 1..]).ok()?.split_ascii_whitespace())
    };
    read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "cannot parse /proc/PID/stat"))
}

/// Clock ticks since boot, of the clock that start times are told in.
pub fn boot_ticks() -> u64 {
    const TICK: u64 = 1_000_000_000 / 100; // /proc counts in hundredths whatever the kernel does: USER_HZ
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) / TICK
}

/// The boot id of the running kernel.
///
/// # Errors
/// What reading /proc reports.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let mut text = [0; 36];
    fs::File::open("/proc/sys/kernel/random/boot_id")?.read_exact(&mut text)?;
    let mut id = [0; 16];
    let digits = text.iter().filter_map(|&c| char::from(c).to_digit(16));
    for (i, digit) in digits.take(32).enumerate() {
        id[i / 2] = id[i / 2] << 4 | digit as u8; // a hexadecimal digit fits
    }
    Ok(id)
}

/// A descriptor of a process: it stays with that process even when the pid is given to another,
/// and becomes readable when the process ends.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens a descriptor of the process with this pid.
    ///
    /// # Errors
    /// ESRCH when there is none; what `pidfd_open` reports.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers and touches no memory of ours.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        // SAFETY: the kernel just gave us this descriptor; nothing else owns it. It fits a C int.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Opens a descriptor of exactly this process. The descriptor comes first and the comparison second, so that no
    /// recycled pid slips in.
    ///
    /// # Errors
    /// ESRCH when it has ended; what `pidfd_open` or reading /proc reports.
    pub fn of(identity: &Identity) -> io::Result<Self> {
        let pidfd = Self::open(identity.pid)?;
        match Identity::of(identity.pid)? == *identity {
            true => Ok(pidfd),
            false => Err(Errno::ESRCH.into()),
        }
    }

    /// Whether the process has ended. One that nobody has waited for has ended too.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Sends a signal to that process.
    ///
    /// # Errors
    /// ESRCH when it has ended; what `pidfd_send_signal` reports.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        Ok(self.send_by(signal, 0)?)
    }

    /// Sends a signal in the way that the flags of `pidfd_send_signal` say.
    fn send_by(&self, signal: Signal, flags: libc::c_uint) -> nix::Result<()> {
        // SAFETY: a null siginfo is allowed and makes the call act as kill(2); integers otherwise.
        let r = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal as i32,
                std::ptr::null::<libc::siginfo_t>(),
                flags,
            )
        };
        Errno::result(r).map(drop)
    }
}

impl Pidfd {
    /// Sends a signal to the process group `group` that this process leads, or led: the group is found through
    /// the process, never through its number.
    ///
    /// # Errors
    /// ESRCH when nothing is left of it; what `pidfd_send_signal` reports.
    pub fn send_to_group(&self, group: i32, signal: Signal) -> io::Result<()> {
        const PROCESS_GROUP: libc::c_uint = 1 << 2; // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9
        match self.send_by(signal, PROCESS_GROUP) {
            Err(Errno::EINVAL) => self.send_to_members(group, signal),
            result => Ok(result?),
        }
    }

    /// The same for older kernels: each member is looked up and signalled through a descriptor of its own.
    fn send_to_members(&self, group: i32, signal: Signal) -> io::Result<()> {
        let result = self.send(signal);
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if pid == group || group_and_session(pid) != Some((group, group)) {
                continue;
            }
            // The descriptor first, then the second look: a pid may go to a stranger in between.
            if let Ok(member) = Self::open(pid)
                && group_and_session(pid) == Some((group, group))
            {
                // One that has just ended needs no signal.
                let _ = member.send(signal);
            }
        }
        result
    }
}

/// Process group and session of a process.
fn group_and_session(pid: i32) -> Option<(i32, i32)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|&c| c == b')')?;
    let mut fields = str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned or called exit with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was not our child (adopted): nobody told us.
    Unknown,
}

/// Collects one child that has ended, if there is one, without waiting.
pub fn reap() -> Option<(i32, Exit)> {
    loop {
        return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => Some((pid.as_raw(), Exit::Code(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid.as_raw(), Exit::Signal(signal as i32))),
            Err(Errno::EINTR) => continue,
            // ECHILD (no child at all) and StillAlive alike: nothing to collect.
            _ => None,
        };
    }
}

/// Sends a signal to a child that has not been reaped: its pid cannot belong to anybody else.
///
/// # Errors
/// What `kill` reports.
pub fn signal_child(pid: i32, signal: Signal) -> io::Result<()> {
    Ok(nix::sys::signal::kill(Pid::from_raw(pid), signal)?)
}

/// Sends a signal to the process group that a child leads which has not been reaped.
///
/// # Errors
/// ESRCH when there is none; what `kill` reports.
pub fn signal_child_group(pid: i32, signal: Signal) -> io::Result<()> {
    Ok(nix::sys::signal::killpg(Pid::from_raw(pid), signal)?)
}

/// Orphans among our descendants become our children from now on.
///
/// # Errors
/// What `prctl` reports.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: this prctl takes integers only.
    let r = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    Errno::result(r)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_stable_and_differs_between_processes() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let (a, b) = (Identity::of(pid).unwrap(), Identity::of(pid).unwrap());
        assert_eq!(a, b);
        assert_ne!(a, Identity::own().unwrap());
        assert_ne!(a.boot_id, [0; 16]);
        let looks = Looks { name: b"sleep".to_vec(), parent: std::process::id() as i32, unborn: false };
        // spawn() returns a moment before the kernel gives the process its new name.
        while Looks::of(pid).unwrap().name != looks.name {
            std::thread::yield_now();
        }
        assert_eq!(Looks::of(pid).unwrap(), looks);
        assert!(pids().unwrap().any(|other| other == pid));
        assert_eq!(user(pid).unwrap(), Some(nix::unistd::geteuid().as_raw()));

        let pidfd = Pidfd::of(&a).unwrap();
        assert!(!pidfd.has_ended());
        assert!(Pidfd::of(&Identity { start_time: a.start_time + 1, ..a }).is_err());
        pidfd.send(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(pidfd.has_ended());
        assert_eq!(Identity::of(pid).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Pidfd::open(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
