//! Waiting for descriptors and signals at once, with nothing but ppoll: the signals are blocked except while we
//! wait, and a handler only marks that one came. No pipe, no descriptor, no allocation.
//!
//! For programs that make their children with [`crate::launch`], which gives them an empty mask: children of
//! `std::process::Command` would inherit the blocked one.

use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::time::TimeSpec;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One bit for each signal that came.
static CAME: AtomicU64 = AtomicU64::new(0);

extern "C" fn mark(signal: libc::c_int) {
    CAME.fetch_or(1 << signal, Ordering::Relaxed);
}

/// The signals that wake us. There is one for the whole process.
pub struct Awake {
    while_waiting: SigSet,
}

impl Awake {
    /// Catches these signals from now on; they no longer end the process.
    ///
    /// # Errors
    /// What `sigprocmask` or `sigaction` reports.
    pub fn by(signals: &[Signal]) -> io::Result<Self> {
        let caught: SigSet = signals.iter().copied().collect();
        let mut while_waiting = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&caught), Some(&mut while_waiting))?;
        let action = SigAction::new(SigHandler::Handler(mark), SaFlags::empty(), SigSet::all());
        for &signal in signals {
            // SAFETY: the handler does one atomic operation on a static, which is async-signal-safe.
            unsafe { sigaction(signal, &action)? };
            // Inherited blocked, it would never wake us.
            while_waiting.remove(signal);
        }
        Ok(Self { while_waiting })
    }

    /// Waits until a descriptor is ready, a signal came or the time is over (`None` = however long it takes).
    ///
    /// # Errors
    /// What `ppoll` reports, other than that a signal came.
    pub fn wait(&self, descriptors: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<()> {
        match ppoll(descriptors, time.map(TimeSpec::from), Some(self.while_waiting)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The signals that came since the last call.
    pub fn take(&self) -> impl Iterator<Item = Signal> + use<> {
        let came = CAME.swap(0, Ordering::Relaxed);
        Signal::iterator().filter(move |signal| came & 1 << *signal as u64 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_the_wait_and_is_taken_once() {
        let awake = Awake::by(&[Signal::SIGUSR1]).unwrap();
        // Sent to this thread: it stays pending until the wait lets it in.
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap();
        assert_eq!(awake.take().count(), 0);
        awake.wait(&mut [], Some(Duration::from_secs(60))).unwrap();
        assert_eq!(awake.take().collect::<Vec<_>>(), [Signal::SIGUSR1]);
        awake.wait(&mut [], Some(Duration::ZERO)).unwrap();
        assert_eq!(awake.take().count(), 0);
    }
}
