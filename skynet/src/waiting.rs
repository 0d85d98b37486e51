//! Waiting for something to change in folders, for ^C, or for the time to be over.

use crate::interrupt::Claim;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often to look all the same: where inotify is not to be had, and for what no folder shows.
const TICK: Duration = Duration::from_millis(200);

/// Why [`Waiting::next`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed: look again.
    Look,
    /// ^C or TERM came: the number of the signal.
    Interrupted(i32),
    /// The time is over.
    Over,
}

/// A wait with a deadline.
pub struct Waiting {
    inotify: Option<Inotify>,
    signals: Option<Claim>,
    until: Instant,
    tick: Duration,
}

impl Waiting {
    /// A wait of at most this long. ^C ends the program.
    pub fn at_most(time: Duration) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        Self { inotify, signals: None, until: Instant::now() + time, tick: TICK }
    }

    /// ^C and TERM wake this wait from now on and no longer end the program.
    #[must_use]
    pub fn with_signals(mut self) -> Self {
        self.signals = Claim::new();
        self
    }

    /// Wakes by events only, where the system has them: for a wait that may last.
    #[must_use]
    pub fn by_events(mut self) -> Self {
        if self.inotify.is_some() {
            self.tick = Duration::MAX;
        }
        self
    }

    /// The same wait with a new deadline.
    pub fn extend(&mut self, time: Duration) {
        self.until = Instant::now() + time;
    }

    /// Wakes when something in `dir` changes. May be said again; a folder that is not there is left to
    /// the tick.
    pub fn watch(&self, dir: &Path) {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MODIFY;
        if let Some(inotify) = &self.inotify {
            let _ = inotify.add_watch(dir, events);
        }
    }

    /// Waits until there is reason to look.
    pub fn next(&self) -> Woken {
        self.next_or(None)
    }

    /// Waits until there is reason to look, or `descriptor` reports anything.
    pub fn next_or(&self, descriptor: Option<PollFd>) -> Woken {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Woken::Over;
        }
        let mut fds = vec![];
        fds.extend(self.inotify.as_ref().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.signals.as_ref().map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        fds.extend(descriptor);
        let longest = left.min(self.tick).as_millis() + 1;
        // Interrupted or not: whoever waits looks again.
        let _ = poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX));
        if let Some(inotify) = &self.inotify {
            while inotify.read_events().is_ok() {}
        }
        match self.signals.as_ref().and_then(Claim::take) {
            Some(signal) => Woken::Interrupted(signal),
            None => Woken::Look,
        }
    }

    /// Waits until `look` finds something; `None` when the time is over or the user interrupts.
    pub fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if self.next() != Woken::Look {
                return None;
            }
        }
    }
}
