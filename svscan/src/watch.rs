//! Watching the scan directory with inotify, so that a new service is noticed at once and an idle svscan sleeps.
//!
//! A link or a renamed directory is complete when it appears. A directory that is made in place is still being
//! filled (its `log` is looked at only once!): it is left to the scan five seconds later, as with daemontools.
//! A batch of changes is one change: a scan waits until nothing has changed for a moment.
//!
//! The service directories without a `log` are watched as well, for one that appears later, which takes no effect
//! and is to be told.

use crate::limits;
use crate::plan::{Id, Moment, SCAN};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::statfs::{self, FsType};
use servicedir::names;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// A scan waits until nothing has changed for so long …
const CALM: Duration = Duration::from_millis(20);
/// … but no longer than this after the first change.
const IMPATIENT: Duration = Duration::from_millis(500);
/// So many changes in a service directory that were no `log`, and it is watched no longer.
const BUSY: u32 = 1000;

/// The watch, and what it has seen.
pub struct Watch {
    inotify: Inotify,
    scan_directory: WatchDescriptor,
    fresh: HashMap<OsString, Moment>,
    first_change: Option<Moment>,
    last_change: Moment,
    services: HashMap<WatchDescriptor, (Id, u32)>,
    lost: bool,
}

impl Watch {
    /// Watches the working directory.
    ///
    /// # Errors
    /// What inotify reports; EMFILE where this user has too many instances already. ENOTSUP on a file system
    /// that others may change without this kernel's knowledge.
    pub fn here() -> io::Result<Self> {
        if is_remote(statfs::statfs(".")?.filesystem_type()) {
            return Err(Errno::ENOTSUP.into());
        }
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(limits::of_inotify)?;
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        let scan_directory = inotify.add_watch(".", events | AddWatchFlags::IN_ONLYDIR)?;
        Ok(Self {
            inotify,
            scan_directory,
            fresh: HashMap::new(),
            first_change: None,
            last_change: Moment::ZERO,
            services: HashMap::new(),
            lost: false,
        })
    }

    /// Watches the directory of a service that has no `log`. Where that cannot be had nothing is lost but a line.
    pub fn log_of(&mut self, id: Id, name: &Path) {
        let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        if let Ok(watch) = self.inotify.add_watch(name, events)
            && watch != self.scan_directory
        {
            self.services.insert(watch, (id, 0));
        }
    }

    /// Takes what has happened; returns the services whose directory got a `log`.
    pub fn take(&mut self, now: Moment) -> Vec<Id> {
        self.fresh.retain(|_, ready| *ready > now);
        let mut late = vec![];
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                let made_in_place = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ISDIR;
                match event.name {
                    Some(name) if event.wd != self.scan_directory => {
                        late.extend(self.change_in_service(event.wd, &name));
                    }
                    Some(name) if event.mask.contains(made_in_place) => {
                        self.fresh.insert(name, now + SCAN);
                    }
                    Some(name) => {
                        self.fresh.remove(&name);
                        self.changed(now);
                    }
                    // A watch goes with its directory.
                    None if self.services.remove(&event.wd).is_some() => {}
                    None => {
                        self.lost |=
                            event.mask.contains(AddWatchFlags::IN_IGNORED) && event.wd == self.scan_directory;
                        // An overflow, or the end: look.
                        self.changed(now);
                    }
                }
            }
        }
        late
    }

    fn change_in_service(&mut self, watch: WatchDescriptor, name: &OsStr) -> Option<Id> {
        let (id, count) = self.services.get_mut(&watch)?;
        let id = *id;
        *count += 1;
        let is_log = name == names::LOG;
        if is_log || *count >= BUSY {
            self.services.remove(&watch);
            // It may be gone together with its directory.
            let _ = self.inotify.rm_watch(watch);
        }
        is_log.then_some(id)
    }

    fn changed(&mut self, now: Moment) {
        self.first_change.get_or_insert(now);
        self.last_change = now;
    }

    /// When a scan is called for.
    pub fn scan_at(&self) -> Option<Moment> {
        let change = self.first_change.map(|first| (self.last_change + CALM).min(first + IMPATIENT));
        change.into_iter().chain(self.fresh.values().copied()).min()
    }

    /// Whether changes are no longer told.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// A scan is made.
    pub fn scanned(&mut self, now: Moment) {
        self.first_change = None;
        self.fresh.retain(|_, ready| *ready > now);
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

/// File systems whose directories change from elsewhere (statfs(2)).
fn is_remote(kind: FsType) -> bool {
    const NINE_P: FsType = FsType(0x0102_1997);
    const CIFS: FsType = FsType(0xff53_4d42);
    const SMB2: FsType = FsType(0xfe53_4d42);
    [statfs::NFS_SUPER_MAGIC, statfs::FUSE_SUPER_MAGIC, NINE_P, CIFS, SMB2].contains(&kind)
}
