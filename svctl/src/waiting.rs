//! Waiting for what a service becomes: `svc -wu` and its kin.
//!
//! supervise replaces `supervise/status` by rename: inotify on `supervise/` tells of it, so waiting costs no
//! polling, and supervise nothing at all. What the status says is compared with what it said before the letters
//! were sent, so that a change which nobody could see in time (down and up again) is not missed.

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use servicedir::status::{State, Status};
use servicedir::{client, names};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;
use unix::fds::open_nonblocking;
use unix::process::Identity;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The service is up.
    Up,
    /// It is up and ready.
    Ready,
    /// Its process has ended.
    Down,
    /// It is down, and what cleans up after it has ended, too.
    Finished,
    /// It is up with another process than before.
    Restarted,
}

impl Goal {
    /// The goals by the letter after `-w`, and in words.
    pub const ALL: [(u8, Self, &'static str); 5] = [
        (b'u', Self::Up, "up"),
        (b'U', Self::Ready, "ready"),
        (b'd', Self::Down, "down"),
        (b'D', Self::Finished, "finished"),
        (b'r', Self::Restarted, "restarted"),
    ];

    /// The goal that a letter after `-w` means.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == letter).map(|(_, goal, _)| *goal)
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, goal, _)| *goal == self).map_or("", |(.., word)| word)
    }

    /// Whether a service that was `before` and is `now` has got there.
    fn is_reached(self, before: &Seen, now: &Seen) -> bool {
        let changed = before.life != now.life;
        match self {
            Self::Up => now.up,
            Self::Ready => now.up && now.ready,
            Self::Down => !now.up || changed,
            Self::Finished => !now.up && now.at_rest || changed && now.life.0.is_some(),
            Self::Restarted => now.up && changed,
        }
    }

    /// Whether it cannot get there by itself any more.
    fn is_hopeless(self, now: &Seen) -> bool {
        now.failed && matches!(self, Self::Up | Self::Ready | Self::Restarted)
    }
}

/// What matters of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    up: bool,
    ready: bool,
    at_rest: bool,
    failed: bool,
    /// Which life of the service it is.
    life: (Option<i32>, Option<Identity>),
}

impl From<&Status> for Seen {
    fn from(status: &Status) -> Self {
        let more = status.more.as_ref();
        Self {
            up: status.pid.is_some(),
            // daemontools' supervise does not say: there is no more to be waited for.
            ready: more.is_none_or(|more| more.ready.is_some()),
            at_rest: more.is_none_or(|more| more.script.is_none()),
            failed: more.is_some_and(|more| more.state == State::Failed),
            life: (status.pid, more.and_then(|more| more.identity).filter(|_| status.pid.is_some())),
        }
    }
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The goal is reached.
    Reached,
    /// The time was over.
    TimedOut,
    /// It cannot be reached any more, and why.
    Hopeless(&'static str),
}

/// A service that is waited for.
pub struct Wait {
    dir: PathBuf,
    /// As it was given, for what is said.
    pub name: OsString,
    before: Seen,
    inotify: Inotify,
    /// Signals when supervise goes.
    ok: OwnedFd,
}

impl Wait {
    /// Begins to watch the service directory `dir`; to be done before letters are sent.
    ///
    /// # Errors
    /// ENXIO where no supervise runs; what inotify, opening or reading reports.
    pub fn begin(dir: &Path, name: OsString) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let changes = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DELETE;
        inotify.add_watch(&dir.join(names::SUPERVISE), changes)?;
        let ok = open_nonblocking(&dir.join(names::OK), OFlag::O_WRONLY)?;
        let before = Seen::from(&client::status(dir)?);
        Ok(Self { dir: dir.into(), name, before, inotify, ok })
    }

    /// Waits until the service has got to `goal`.
    ///
    /// # Errors
    /// What poll reports.
    pub fn until(&self, goal: Goal, deadline: Option<Instant>) -> io::Result<End> {
        let mut gone = false;
        loop {
            // Emptied before the look: what changes after it wakes us.
            while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
            // A status that is just being replaced will be there with the next event.
            let now = client::status(&self.dir).ok().map(|status| Seen::from(&status));
            if let Some(now) = &now {
                if goal.is_reached(&self.before, now) {
                    return Ok(End::Reached);
                }
                if goal.is_hopeless(now) {
                    return Ok(End::Hopeless("it has failed for good"));
                }
            }
            if gone {
                return Ok(End::Hopeless("supervise has ended"));
            }
            gone = self.supervise_is_gone()?;
            if gone {
                // What it wrote last counts.
                continue;
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(End::TimedOut);
            }
            self.sleep(deadline)?;
        }
    }

    fn supervise_is_gone(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.ok.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO)?;
        Ok(fds[0].any().unwrap_or(true))
    }

    fn sleep(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ok.as_fd(), PollFlags::empty()),
        ];
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()).as_millis() + 1);
        let timeout =
            left.map_or(PollTimeout::NONE, |ms| PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: Option<i32>, ready: bool, at_rest: bool) -> Seen {
        Seen { up: pid.is_some(), ready, at_rest, failed: false, life: (pid, None) }
    }

    #[test]
    fn a_goal_is_reached_also_where_the_change_was_too_quick_to_be_seen() {
        let (up, ready) = (seen(Some(7), false, true), seen(Some(7), true, true));
        let (next, down) = (seen(Some(8), false, true), seen(None, false, true));
        let finishing = seen(None, false, false);
        for (goal, before, now, reached) in [
            (Goal::Up, &down, &up, true),
            (Goal::Up, &down, &down, false),
            (Goal::Up, &up, &up, true),
            (Goal::Ready, &down, &up, false),
            (Goal::Ready, &down, &ready, true),
            (Goal::Down, &up, &up, false),
            (Goal::Down, &up, &finishing, true),
            (Goal::Down, &up, &next, true),
            (Goal::Finished, &up, &finishing, false),
            (Goal::Finished, &up, &down, true),
            (Goal::Finished, &up, &next, true),
            (Goal::Restarted, &up, &ready, false),
            (Goal::Restarted, &up, &finishing, false),
            (Goal::Restarted, &up, &next, true),
            (Goal::Restarted, &down, &up, true),
        ] {
            assert_eq!(goal.is_reached(before, now), reached, "{goal:?} {before:?} {now:?}");
        }
    }

    #[test]
    fn what_has_failed_for_good_will_not_come_up() {
        let failed = Seen { failed: true, ..seen(None, false, true) };
        assert!(Goal::Up.is_hopeless(&failed) && !Goal::Down.is_hopeless(&failed));
    }
}
