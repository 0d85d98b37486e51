//! Signals as a readable descriptor: a self-pipe and a flag per signal.
//!
//! Nothing is blocked: children of `std::process::Command` would inherit a blocked mask and could not be
//! stopped any more.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals registered with [`SignalPipe::new`], as a descriptor to poll and flags to take.
pub struct SignalPipe {
    readable: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
}

impl SignalPipe {
    /// Registers the given signals (`libc::SIGTERM` …); from now on they no longer kill the process.
    ///
    /// # Errors
    /// What making the pipe or `sigaction` reports.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        let mut flags = Vec::with_capacity(signals.len());
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: whoever wakes up by the pipe finds it set.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, writable.try_clone()?)?;
            flags.push((signal, flag));
        }
        Ok(Self { readable, flags })
    }

    /// Empties the pipe and returns the signals that came since the last call, in the order of registration.
    pub fn take(&self) -> impl Iterator<Item = i32> + '_ {
        let mut bytes = [0; 64];
        while matches!((&self.readable).read(&mut bytes), Ok(n) if n == bytes.len()) {}
        self.flags.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(signal, _)| *signal)
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    #[test]
    fn a_signal_makes_the_descriptor_readable_and_is_taken_once() {
        let pipe = SignalPipe::new(&[libc::SIGWINCH, libc::SIGUSR2]).unwrap();
        nix::sys::signal::raise(nix::sys::signal::SIGUSR2).unwrap();
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)).unwrap(), 1);
        assert_eq!(pipe.take().collect::<Vec<_>>(), [libc::SIGUSR2]);
        assert_eq!(pipe.take().count(), 0);
    }
}
