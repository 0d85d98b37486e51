//! ^C, TERM, and HUP when the terminal goes: a command ends at once with the exit code that shells know for it (130, 143,
//! 129), and leaves the terminal as it was. A command that must put something in order first claims them.

use crate::{progress, say};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::fs;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use unix::signals::SignalPipe;

/// Commands that look for these signals themselves.
static CLAIMS: AtomicUsize = AtomicUsize::new(0);
/// What goes on when a command is ended now.
static GOES_ON: Mutex<Option<String>> = Mutex::new(None);
/// What ends a command.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// While it lives these signals are for whoever made it.
pub struct Claim(SignalPipe);

impl Claim {
    /// From now on; `None` where signals are not to be had.
    pub fn new() -> Option<Self> {
        let claim = Self(pipe()?);
        CLAIMS.fetch_add(1, Ordering::SeqCst);
        Some(claim)
    }

    /// The number of the signal that came since the last call, if one did.
    pub fn take(&self) -> Option<i32> {
        self.0.take().last()
    }
}

impl AsFd for Claim {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While it lives, who ends the program is told what goes on without it.
pub struct GoesOn(());

/// This goes on when the program is ended from now on.
pub fn goes_on(what: String) -> GoesOn {
    *GOES_ON.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    GoesOn(())
}

impl Drop for GoesOn {
    fn drop(&mut self) {
        *GOES_ON.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Ends the program when one of the signals comes that nobody has claimed.
pub fn watch() {
    let Some(signals) = pipe() else { return };
    std::thread::spawn(move || {
        loop {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            // Interrupted or not: what came is looked at.
            let _ = poll(&mut fds, PollTimeout::NONE);
            let came = signals.take().last();
            if let Some(signal) = came.filter(|_| CLAIMS.load(Ordering::SeqCst) == 0) {
                progress::clear();
                if let Some(line) = GOES_ON.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
                    say::trouble(line);
                }
                std::process::exit(i32::from(exit_code(signal)));
            }
        }
    });
}

/// Whether it only says that the terminal is gone: once or twice, and nobody is in a hurry for that.
pub fn is_hang_up(signal: i32) -> bool {
    signal == Signal::SIGHUP as i32
}

/// What shells report of a program that a signal has ended.
pub fn exit_code(signal: i32) -> u8 {
    128 + u8::try_from(signal).unwrap_or_default()
}

/// Signals that we were started to ignore (`nohup`, a script's `&`) are none of our business.
fn pipe() -> Option<SignalPipe> {
    let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    let ours =
        SIGNALS.map(|signal| signal as i32).into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    SignalPipe::new(&ours.collect::<Vec<_>>()).ok()
}

/// The mask of ignored signals in /proc/PID/status; none where it does not say.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_proc_and_codes_are_those_of_shells() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001002\nSigCgt:\t0000000000000001\n"), 0x1002);
        assert_eq!((ignored(""), ignored("SigIgn:\tnonsense")), (0, 0));
        assert_eq!(SIGNALS.map(|signal| exit_code(signal as i32)), [130, 143, 129]);
    }
}
