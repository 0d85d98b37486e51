//! The one child: made behind a gate and on record before it runs, or adopted from an earlier supervise.

use servicedir::client;
use servicedir::station;
use servicedir::status::Status;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use unix::gated::Gated;
use unix::process::{self, Identity, Pidfd, Signal};

/// A running child.
pub enum Child {
    /// We forked it: its pid stays its own until we reap it.
    Own {
        /// Who it is, for whoever comes after us.
        identity: Option<Identity>,
        /// Still closed until the child is on record.
        gate: Option<Gated>,
        /// Its pid.
        pid: i32,
    },
    /// An earlier supervise forked it: the descriptor stays with it whatever becomes of its pid.
    Adopted {
        /// Who it is.
        identity: Identity,
        /// The way to signal it and to learn of its end.
        pidfd: Pidfd,
    },
}

impl Child {
    /// A child of our own that waits behind its gate.
    pub fn gated(gate: Gated) -> Self {
        let pid = gate.pid;
        // Without an identity the record is worth less, but the service runs: it could not be adopted.
        Self::Own { identity: Identity::of(pid).ok(), gate: Some(gate), pid }
    }

    /// The child that the status in the working directory tells of, if it still runs and the record can be
    /// trusted. The pidfd is opened before the identity is compared, so that no recycled pid slips in.
    pub fn adopt() -> Option<(Self, Status)> {
        if !station::status_is_ours() {
            return None;
        }
        let status = client::status(Path::new(".")).ok()?;
        let identity = status.more.as_ref()?.identity?;
        let pidfd = Pidfd::open(identity.pid).ok()?;
        (Identity::of(identity.pid).ok()? == identity).then_some((Self::Adopted { identity, pidfd }, status))
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        match self {
            Self::Own { pid, .. } => *pid,
            Self::Adopted { identity, .. } => identity.pid,
        }
    }

    /// Who it is, if that could be found out.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::Own { identity, .. } => *identity,
            Self::Adopted { identity, .. } => Some(*identity),
        }
    }

    /// Lets it run its program.
    pub fn release(&mut self) {
        if let Self::Own { gate, .. } = self
            && let Some(gate) = gate.take()
        {
            // A child that is gone already is reported by its exit.
            let _ = gate.open();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self {
            Self::Own { pid, .. } => process::signal_child(*pid, signal),
            Self::Adopted { pidfd, .. } => pidfd.send(signal),
        }
    }

    /// Becomes readable when an adopted child ends; an own one is announced by SIGCHLD.
    pub fn ended(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own { .. } => None,
            Self::Adopted { pidfd, .. } => Some(pidfd.as_fd()),
        }
    }

    /// Whether it was adopted.
    pub fn adopted(&self) -> bool {
        matches!(self, Self::Adopted { .. })
    }
}
