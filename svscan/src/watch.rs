//! Watching the scan directory with inotify, so that a new service is noticed at once.
//!
//! A link or a renamed directory is complete when it appears and is taken at once. A directory that is made
//! in place is still being filled (its `log` is looked at only once!): it is left to the scan five seconds
//! later, as with daemontools.

use crate::plan::{Moment, SCAN};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The watch, and the directories that were made in place a moment ago.
pub struct Watch {
    inotify: Inotify,
    fresh: HashMap<OsString, Moment>,
}

impl Watch {
    /// Watches the working directory.
    ///
    /// # Errors
    /// What inotify reports; EMFILE where this user has too many watches already.
    pub fn here() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(".", events | AddWatchFlags::IN_ONLYDIR)?;
        Ok(Self { inotify, fresh: HashMap::new() })
    }

    /// Takes what has happened. True = a scan is called for now.
    pub fn take(&mut self, now: Moment) -> bool {
        self.fresh.retain(|_, ready| *ready > now);
        let mut scan = false;
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                let made_in_place = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ISDIR;
                match event.name {
                    Some(name) if event.mask.contains(made_in_place) => {
                        self.fresh.insert(name, now + SCAN);
                    }
                    _ => scan = true,
                }
            }
        }
        scan
    }

    /// Whether this directory was made in place less than five seconds ago.
    pub fn is_fresh(&self, name: &OsStr, now: Moment) -> bool {
        self.fresh.get(name).is_some_and(|ready| *ready > now)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
