//! What svscan decides: which supervises to start, to start again, to wait for, to forget. Pure: no system call,
//! no clock.
//!
//! A service has one part or two: the service itself and its logger. The supervise of a part is in one of the
//! states of [`Supervise`]; `docs/reference/svscan.md` has the table of what each event makes of each state,
//! written by the test `the_table_in_the_manual_is_this_machine`.
//!
//! Always: at most one supervise per part is asked for, and none while another one runs; a listed service is never
//! forgotten; a forgotten one has no supervise; a supervise is started at most once a second.

mod agenda;

use agenda::Agenda;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::time::Duration;

pub use servicedir::errand::Id;

/// A point of the monotonic clock.
pub type Moment = Duration;

/// The least time between two starts of one supervise.
pub const SPACING: Duration = Duration::from_secs(1);
/// Between two scans that nothing else called for, and until a supervise that exited is started again.
pub const SCAN: Duration = Duration::from_secs(5);
/// The longest pause before a supervise that fails again and again is started again.
pub const LONGEST: Duration = Duration::from_secs(60);
/// The first look at a supervise whose end nobody announces; each further one waits twice as long, up to [`SCAN`].
const LOOK: Duration = Duration::from_millis(50);

/// A service directory as a scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which directory it is.
    pub id: Id,
    /// Its name in the scan directory.
    pub name: OsString,
    /// Whether it has a `log`. Looked at only when a service is first seen.
    pub log: bool,
}

/// The two parts of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The service itself.
    Main,
    /// Its logger.
    Log,
}

/// One part of one service.
pub type Place = (Id, Part);

/// Where the supervise of a part is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Supervise {
    /// It does not run.
    Due {
        /// It is to be started then …
        at: Moment,
        /// … or when somebody asks, but not before this.
        earliest: Moment,
        /// How often it failed, one time after the other.
        failures: u8,
    },
    /// [`Action::Start`] is under way.
    Starting {
        /// As in `Due`.
        failures: u8,
    },
    /// It runs as our child.
    Running {
        /// Its pid.
        pid: i32,
        /// When it was started.
        since: Moment,
        /// As in `Due`.
        failures: u8,
    },
    /// It runs, and somebody else started it: an earlier svscan.
    Found {
        /// How long to wait before it is looked at; `None` where its end is announced.
        pause: Option<Duration>,
        /// When that is over.
        look: Option<Moment>,
    },
    /// [`Action::Look`] is under way.
    Looking {
        /// As in `Found`.
        pause: Duration,
    },
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A signal killed it. It is wanted back at once.
    Killed,
    /// It exited with 0: it was told to.
    Done,
    /// It exited with anything else: it could not work.
    Failed,
}

/// What happens to svscan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The directory was read.
    Scanned(Vec<Listed>),
    /// Somebody asked for a scan (HUP): what waits is due now.
    Asked,
    /// Time has passed. At most `room` supervises may be started.
    Tick {
        /// How many.
        room: usize,
    },
    /// A start brought forth this child.
    Started(Place, i32),
    /// A start, or a look at one that is due, found that another supervise runs there.
    Busy(Place, Notice),
    /// A start failed.
    NotStarted(Place),
    /// A found supervise has ended.
    Gone(Place),
    /// A child, which may be a stranger's orphan, has ended.
    Ended(i32, End),
}

/// Whether we will hear of a found supervise's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// Yes, at once.
    Announced,
    /// No: it has to be looked at.
    Unannounced,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a supervise unless one runs there; report [`Event::Started`], [`Event::Busy`] or [`Event::NotStarted`].
    Start(Place),
    /// Look whether a found supervise still runs; report [`Event::Busy`] or [`Event::Gone`].
    Look(Place),
    /// Let go of all that belongs to a service.
    Forget(Id),
}

/// A service that svscan knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name when it was last listed.
    pub name: OsString,
    /// Whether the last scan found it.
    pub listed: bool,
    main: Supervise,
    log: Option<Supervise>,
}

impl Service {
    /// The supervise of one of its parts; `None` where it has no such part.
    pub fn part(&self, part: Part) -> Option<Supervise> {
        match part {
            Part::Main => Some(self.main),
            Part::Log => self.log,
        }
    }

    /// Its parts and their supervises.
    pub fn parts(&self) -> impl Iterator<Item = (Part, Supervise)> {
        [Part::Main, Part::Log].into_iter().filter_map(|part| Some((part, self.part(part)?)))
    }

    /// Whether it has a logger.
    pub fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Whether none of its supervises runs.
    pub fn is_idle(&self) -> bool {
        self.parts().all(|(_, supervise)| matches!(supervise, Supervise::Due { .. }))
    }
}

/// All that svscan knows when it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    services: BTreeMap<Id, Service>,
    /// Our children. Kept beside the states so that a child's end is found at once among thousands.
    children: HashMap<i32, Place>,
    agenda: Agenda,
}

impl Plan {
    /// The services, by identity.
    pub fn services(&self) -> &BTreeMap<Id, Service> {
        &self.services
    }

    /// A service that is known.
    pub fn service(&self, id: Id) -> Option<&Service> {
        self.services.get(&id)
    }

    /// Whether no supervise runs.
    pub fn is_idle(&self) -> bool {
        self.agenda.is_idle()
    }

    /// When the next supervise is to be started, by an [`Event::Tick`].
    pub fn next_start(&self) -> Option<Moment> {
        self.agenda.first().0
    }

    /// When the next found supervise is to be looked at, by an [`Event::Tick`].
    pub fn next_look(&self) -> Option<Moment> {
        self.agenda.first().1
    }

    /// Takes in what has happened and says what is to be done.
    #[must_use]
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        match event {
            Event::Scanned(listing) => return self.compare(now, listing),
            Event::Tick { room } => return self.what_is_due(now, room),
            Event::Asked => {
                self.services.values_mut().for_each(|service| service.hurry(now));
                self.agenda = Agenda::of(&self.services);
            }
            Event::Started(place, pid) => {
                self.children.insert(pid, place);
                self.change(place, |supervise| supervise.started(pid, now));
            }
            Event::Busy(place, notice) => self.change(place, |supervise| supervise.found(notice, now)),
            Event::NotStarted(place) => self.change(place, |supervise| supervise.not_started(now)),
            Event::Gone(place) => self.change(place, |supervise| supervise.gone(now)),
            Event::Ended(pid, end) => {
                if let Some(place) = self.children.remove(&pid) {
                    self.change(place, |supervise| supervise.ended(end, now));
                }
            }
        }
        vec![]
    }

    fn change(&mut self, (id, part): Place, to: impl FnOnce(Supervise) -> Supervise) {
        let Some(service) = self.services.get_mut(&id) else { return };
        let supervise = match part {
            Part::Main => Some(&mut service.main),
            Part::Log => service.log.as_mut(),
        };
        if let Some(supervise) = supervise {
            self.agenda.remove((id, part), service.listed, *supervise);
            *supervise = to(*supervise);
            self.agenda.add((id, part), service.listed, *supervise);
        }
    }

    /// Marks which services are listed and under which name, takes up new ones, forgets those that are gone and
    /// have no supervise left. A directory that is listed under two names is one service.
    fn compare(&mut self, now: Moment, listing: Vec<Listed>) -> Vec<Action> {
        self.services.values_mut().for_each(|service| service.listed = false);
        let mut seen = BTreeSet::new();
        for Listed { id, name, log } in listing {
            if !seen.insert(id) {
                continue;
            }
            let new = Supervise::due(now, now, 0);
            let log = log.then_some(new);
            let fresh = || Service { name: OsString::new(), listed: true, main: new, log };
            let service = self.services.entry(id).or_insert_with(fresh);
            service.listed = true;
            service.name = name;
        }
        let over = self.services.iter().filter(|(_, service)| !service.listed && service.is_idle());
        let over: Vec<Id> = over.map(|(id, _)| *id).collect();
        over.iter().for_each(|id| drop(self.services.remove(id)));
        self.agenda = Agenda::of(&self.services);
        over.into_iter().map(Action::Forget).collect()
    }

    fn what_is_due(&mut self, now: Moment, room: usize) -> Vec<Action> {
        let (starts, looks) = self.agenda.due(now, room);
        let mut actions = vec![];
        for place in starts {
            self.change(place, Supervise::starting);
            actions.push(Action::Start(place));
        }
        for place in looks {
            self.change(place, Supervise::looking);
            actions.push(Action::Look(place));
        }
        actions
    }
}

impl Service {
    fn hurry(&mut self, now: Moment) {
        for supervise in [Some(&mut self.main), self.log.as_mut()].into_iter().flatten() {
            if let Supervise::Due { at, earliest, .. } = supervise {
                *at = now.max(*earliest).min(*at);
            }
        }
    }
}

impl Supervise {
    fn due(at: Moment, earliest: Moment, failures: u8) -> Self {
        Self::Due { at: at.max(earliest), earliest, failures }
    }

    fn starting(self) -> Self {
        match self {
            Self::Due { failures, .. } => Self::Starting { failures },
            other => other,
        }
    }

    fn started(self, pid: i32, now: Moment) -> Self {
        match self {
            Self::Starting { failures } => Self::Running { pid, since: now, failures },
            other => other,
        }
    }

    fn not_started(self, now: Moment) -> Self {
        match self {
            Self::Starting { failures } => {
                Self::due(now + pause(failures), now + SPACING, failures.saturating_add(1))
            }
            other => other,
        }
    }

    fn looking(self) -> Self {
        match self {
            Self::Found { pause: Some(pause), .. } => Self::Looking { pause },
            other => other,
        }
    }

    fn found(self, notice: Notice, now: Moment) -> Self {
        let pause = match self {
            Self::Starting { .. } | Self::Due { .. } => LOOK,
            Self::Looking { pause } => (pause * 2).min(SCAN),
            other => return other,
        };
        let pause = (notice == Notice::Unannounced).then_some(pause);
        Self::Found { pause, look: pause.map(|pause| now + pause) }
    }

    fn gone(self, now: Moment) -> Self {
        match self {
            Self::Found { .. } | Self::Looking { .. } => Self::due(now, now, 0),
            other => other,
        }
    }

    fn ended(self, end: End, now: Moment) -> Self {
        let Self::Running { since, failures, .. } = self else { return self };
        let earliest = since + SPACING;
        match end {
            End::Killed => Self::due(now, earliest, 0),
            // It was told to; the next scan starts it again if its directory is still there.
            End::Done => Self::due(now + SCAN, earliest, 0),
            // One that has worked for a while has not failed for the same reason as before.
            End::Failed if now >= since + LONGEST => Self::due(now + SCAN, earliest, 1),
            End::Failed => Self::due(now + pause(failures), earliest, failures.saturating_add(1)),
        }
    }
}

/// How long to wait after so many failures.
fn pause(failures: u8) -> Duration {
    (SCAN * 2u32.saturating_pow(failures.into())).min(LONGEST)
}

#[cfg(test)]
mod tests;
