//! Signal handlers that somebody else in this process may have replaced.

use libc::c_int;
use nix::errno::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// How signals are dealt with, as it was at one moment.
pub struct Kept {
    actions: Vec<(c_int, libc::sigaction)>,
}

impl Kept {
    /// As it is now, for these signals (`libc::SIGTERM` …).
    ///
    /// # Errors
    /// What `sigaction` reports.
    pub fn now(signals: &[c_int]) -> io::Result<Self> {
        let actions =
            signals.iter().map(|signal| Ok((*signal, read(*signal)?))).collect::<io::Result<_>>()?;
        Ok(Self { actions })
    }

    /// Makes it again as it was; returns the signals for which it was different.
    ///
    /// # Errors
    /// What `sigaction` reports.
    pub fn restore(&self) -> io::Result<Vec<c_int>> {
        let mut replaced = vec![];
        for (signal, kept) in &self.actions {
            if read(*signal)?.sa_sigaction != kept.sa_sigaction {
                // SAFETY: `kept` was filled in by sigaction itself, for this signal, and its handler lives as long
                // as the process: handlers of libraries are not unloaded here.
                Errno::result(unsafe { libc::sigaction(*signal, kept, ptr::null_mut()) })?;
                replaced.push(*signal);
            }
        }
        Ok(replaced)
    }
}

fn read(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action sigaction only writes the old one, to memory of the right size.
    Errno::result(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it is filled in; zeroed memory would be a valid value, too.
    Ok(unsafe { action.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// A signal that no other test here has: they all run in one process.
    #[test]
    fn what_was_replaced_is_as_it_was_and_named() {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(libc::SIGPWR, Arc::clone(&flag)).unwrap();
        let kept = Kept::now(&[libc::SIGPWR]).unwrap();
        assert_eq!(kept.restore().unwrap(), [0; 0]);
        // SAFETY: ignoring a signal is always possible.
        unsafe { libc::signal(libc::SIGPWR, libc::SIG_IGN) };
        assert_eq!(kept.restore().unwrap(), [libc::SIGPWR]);
        signal_hook::low_level::raise(libc::SIGPWR).unwrap();
        assert!(flag.load(std::sync::atomic::Ordering::SeqCst));
    }
}
