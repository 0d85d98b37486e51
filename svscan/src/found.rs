//! Supervises that somebody else started, most often a svscan that was killed: who runs in a directory, and the
//! news of its end.

use crate::plan::{Notice, Place};
use servicedir::{client, holder};
use std::collections::HashMap;
use std::path::Path;
use unix::process::{Identity, Pidfd};

/// The found supervises whose end is announced.
#[derive(Default)]
pub struct Found {
    places: HashMap<i32, Place>,
    pidfds: HashMap<Place, (Identity, Pidfd)>,
}

/// Who runs in a service directory.
pub enum Occupant {
    /// Nobody.
    Nobody,
    /// A supervise that says who it is.
    Known(Identity, Pidfd),
    /// A supervise of daemontools, one that does not hold its lock yet or is about to end, or a directory that
    /// others may write: its word is not taken.
    Unknown,
}

/// Looks who runs in a service directory. Not to be asked while a supervise of our own is starting there.
pub fn occupant(dir: &Path) -> Occupant {
    if !client::is_running(dir).unwrap_or(false) && !holder::is_held(dir) {
        return Occupant::Nobody;
    }
    let known = holder::recorded(dir).and_then(|who| Some((who, Pidfd::of(&who).ok()?)));
    known.map_or(Occupant::Unknown, |(who, pidfd)| Occupant::Known(who, pidfd))
}

impl Found {
    /// Remembers a supervise until it has ended.
    pub fn add(&mut self, place: Place, who: Identity, pidfd: Pidfd) -> Notice {
        self.places.insert(who.pid, place);
        self.pidfds.insert(place, (who, pidfd));
        Notice::Announced
    }

    /// The descriptor and pid of one.
    pub fn get(&self, place: Place) -> Option<(i32, &Pidfd)> {
        self.pidfds.get(&place).map(|(who, pidfd)| (who.pid, pidfd))
    }

    /// The one with this pid, whose descriptor became readable, has ended: forgets it and returns where it was.
    pub fn ended(&mut self, pid: i32) -> Option<Place> {
        let place = self.places.remove(&pid)?;
        self.pidfds.remove(&place);
        Some(place)
    }
}
