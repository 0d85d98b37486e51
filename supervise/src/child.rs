//! The one child: launched by us and on record before it ran, or adopted from an earlier supervise.

use crate::machine::{Moment, Script, Stage, State, Then};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use servicedir::station::Station;
use servicedir::status::{self, Status};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use unix::process::{self, Identity, Pid, Pidfd, Signal};

/// A running child.
pub struct Child {
    /// Its pid.
    pub pid: i32,
    /// Who it is, for whoever comes after us.
    pub identity: Option<Identity>,
    /// It leads a session of its own.
    pub group: bool,
    /// `None`: we launched it, and its pid stays its own until we reap it. Else an earlier supervise did: the
    /// descriptor stays with it whatever becomes of its pid.
    pidfd: Option<Pidfd>,
}

impl Child {
    /// A child that we launched.
    pub fn own(identity: Option<Identity>, pid: i32, group: bool) -> Self {
        Self { pid, identity, group, pidfd: None }
    }

    /// The child that the status tells of, if it still runs and the record can be trusted. The pidfd is opened
    /// before the identity is compared, so that no recycled pid slips in.
    pub fn adopt(status: &Status) -> Option<Self> {
        let more = status.more.as_ref()?;
        let identity = more.identity?;
        let pidfd = Pidfd::open(identity.pid).ok()?;
        let same = Identity::of(identity.pid).ok()? == identity;
        let child =
            Self { pid: identity.pid, identity: Some(identity), group: more.group, pidfd: Some(pidfd) };
        same.then_some(child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.pidfd {
            None => process::signal_child(self.pid, signal),
            Some(pidfd) => pidfd.send(signal),
        }
    }

    /// Sends a signal to it and, where it leads a session of its own, to its process group.
    pub fn signal_all(&self, signal: Signal) -> io::Result<()> {
        match &self.pidfd {
            _ if !self.group => self.signal(signal),
            None => process::signal_child_group(self.pid, signal),
            Some(pidfd) => pidfd.send_to_group(self.pid, signal),
        }
    }

    /// Kills what is left of its group once it has ended itself.
    pub fn bury_group(&self) {
        if self.group {
            // Nothing left is the usual case.
            let _ = self.signal_all(Signal::SIGKILL);
        }
    }

    /// Whether it is one of ours that has ended and waits to be reaped: until then its pid, which names its
    /// group too, belongs to nobody else.
    pub fn awaits_burial(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.pidfd.is_none()
            && matches!(
                waitid(Id::Pid(Pid::from_raw(self.pid)), flags),
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..))
            )
    }

    /// Becomes readable when an adopted child ends; an own one is announced by SIGCHLD.
    pub fn ended(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it was adopted.
    pub fn adopted(&self) -> bool {
        self.pidfd.is_some()
    }
}

/// What an earlier supervise left that can be trusted, belongs to this boot, and was written by one that was killed:
/// one that ended as told to leaves nothing to go on with. With the child that still runs; where none does, the newest.
pub fn legacy(station: &Station, boot_id: Option<[u8; 16]>) -> Option<(Status, Option<Child>)> {
    let mut records: Vec<_> = station.left().map(|status| (Child::adopt(&status), status)).collect();
    records.sort_by_key(|(child, _)| child.is_none());
    let (child, status) = records.into_iter().next()?;
    let before = status.more.as_ref()?.supervise?;
    (Some(before.boot_id) == boot_id).then_some((status, child))
}

/// The state in which a child of an earlier supervise is, or was when that died, as the status tells it; `None` where it
/// tells of none. `uptime` is how long ago that was born.
pub fn inherited_state(status: &Status, now: Moment, uptime: Duration) -> Option<State> {
    let more = status.more.as_ref()?;
    let (pid, paused) = (more.identity?.pid, status.paused);
    // Its time goes on: the clock is the same, for the boot is.
    let kill_at = more.kill_at;
    Some(match (more.state, more.script) {
        (status::State::Starting, Some(_)) => State::Starting(Stage::Preparing { pid: Some(pid), kill_at }),
        (_, Some(_)) => {
            State::Finishing { script: Script::Finish, pid: Some(pid), kill_at, then: Then::AsWanted }
        }
        (status::State::Stopping, None) => State::Stopping { pid, paused, kill_at },
        (_, None) => {
            let since = now.saturating_sub(uptime);
            State::Up { pid, since, paused, ready: more.ready.is_some() }
        }
    })
}
