//! Supervises that somebody else started, most often a svscan that was killed: who runs in a directory, and the
//! news of its end.

use crate::plan::{Notice, Part, Place};
use nix::unistd::geteuid;
use servicedir::errand::Errand;
use servicedir::{client, holder, names};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use unix::process::{self, Identity, Looks, Pidfd};

/// What a svscan is called, and what is to be a supervise until it is one.
const SVSCAN: &[u8] = b"svscan";
/// So long what is only just becoming a supervise may take to be one, and so often it is looked at.
const BIRTH: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(1);

/// The found supervises whose end is announced.
#[derive(Default)]
pub struct Found {
    places: HashMap<i32, Place>,
    pidfds: HashMap<Place, (Identity, Pidfd)>,
    /// What svscans that are gone left, of whatever tree; some of it has not come to take its lock.
    left: HashMap<Place, Identity>,
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

/// What a process may be to a svscan that has just been started.
enum Sight {
    /// Nothing of svscan's.
    Stranger,
    /// On its way from a svscan that is gone to a supervise.
    Unborn,
    /// A supervise that a svscan started.
    Left(Place, Identity),
}

impl Found {
    /// Looks for what earlier svscans left. To be done before anything is started.
    pub fn left_behind() -> Self {
        let deadline = Instant::now() + BIRTH;
        loop {
            let sights: Vec<_> = process::pids().into_iter().flatten().flat_map(sight).collect();
            if !sights.iter().any(|sight| matches!(sight, Sight::Unborn)) || Instant::now() >= deadline {
                let left = sights.into_iter().filter_map(|sight| match sight {
                    Sight::Left(place, who) => Some((place, who)),
                    Sight::Stranger | Sight::Unborn => None,
                });
                return Self { left: left.collect(), ..Self::default() };
            }
            sleep(NAP);
        }
    }

    /// What an earlier svscan left in a place, if that still lives.
    pub fn left(&self, place: Place) -> Option<(Identity, Pidfd)> {
        let who = self.left.get(&place)?;
        let pidfd = Pidfd::of(who).ok().filter(|pidfd| !pidfd.has_ended())?;
        Some((*who, pidfd))
    }

    /// Looks who runs in the service directory of a place. Not to be asked while a supervise of our own is starting there.
    pub fn occupant(&mut self, place: Place, dir: &Path) -> Occupant {
        let left = self.left(place);
        // Once: should another one have the lock, this one ends.
        self.left.remove(&place);
        if let Some((who, pidfd)) = left {
            return Occupant::Known(who, pidfd);
        }
        if !client::is_running(dir).unwrap_or(false) && !holder::is_held(dir) {
            return Occupant::Nobody;
        }
        let known = holder::recorded(dir).and_then(|who| Some((who, Pidfd::of(&who).ok()?)));
        known.map_or(Occupant::Unknown, |(who, pidfd)| Occupant::Known(who, pidfd))
    }

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

/// What a process is. The word of another user's is not taken.
///
/// # Errors
/// What reading /proc reports, most often that it has ended.
fn sight(pid: i32) -> io::Result<Sight> {
    let looks = Looks::of(pid)?;
    let is_svscan = looks.name == SVSCAN;
    if !is_svscan && !looks.name.starts_with(names::SUPERVISE.as_bytes()) {
        return Ok(Sight::Stranger);
    }
    let who = Identity::of(pid)?;
    let ours = process::user(pid)? == Some(geteuid().as_raw());
    let orphan = || Looks::of(looks.parent).map_or(true, |parent| parent.name != SVSCAN);
    let sight = match Errand::of(pid) {
        _ if !ours => Sight::Stranger,
        _ if is_svscan && looks.unborn && orphan() => Sight::Unborn,
        Err(e) if !is_svscan && e.kind() == ErrorKind::UnexpectedEof => Sight::Unborn,
        // What a supervise has just forked looks like it in all else.
        Ok(Some(errand)) if !is_svscan && !looks.unborn => {
            Sight::Left((errand.service, part_of(errand)), who)
        }
        _ => Sight::Stranger,
    };
    // All that was of one process, and it lives.
    if Pidfd::of(&who)?.has_ended() { Ok(Sight::Stranger) } else { Ok(sight) }
}

fn part_of(errand: Errand) -> Part {
    if errand.is_for_logger() { Part::Log } else { Part::Main }
}
