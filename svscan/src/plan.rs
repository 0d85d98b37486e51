//! What svscan decides: which supervises to start, start again, or forget. Pure: no system call, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

/// A point of the monotonic clock.
pub type Moment = Duration;

/// The least time between two starts of one supervise.
pub const SPACING: Duration = Duration::from_secs(1);
/// How long between two scans that nothing else called for.
pub const SCAN: Duration = Duration::from_secs(5);

/// What a service is known by, whatever its name: device and inode of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// A service directory as the scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which directory it is.
    pub id: Id,
    /// Its name in the scan directory.
    pub name: OsString,
}

/// The two processes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The service itself.
    Main,
    /// Its logger.
    Log,
}

/// One supervise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervise {
    /// It runs as our child.
    Running {
        /// Its pid.
        pid: i32,
        /// When it was started.
        since: Moment,
    },
    /// It does not run.
    Ended {
        /// It may be started from then on.
        again: Moment,
    },
}

impl Supervise {
    /// Never started yet.
    pub const NEW: Self = Self::Ended { again: Moment::ZERO };

    /// What becomes of it when it ends: one that was killed is wanted back at once, if it ran for its second;
    /// one that exited was told to, and is started again by the next scan if its directory is still there.
    #[must_use]
    pub fn ended(self, killed: bool, now: Moment) -> Self {
        match self {
            Self::Running { since, .. } if killed => Self::Ended { again: since + SPACING },
            Self::Running { .. } => Self::Ended { again: now + SCAN },
            Self::Ended { .. } => self,
        }
    }
}

/// A service that svscan knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name when it was last listed.
    pub name: OsString,
    /// Whether the last scan found it.
    pub listed: bool,
    /// Its supervise.
    pub main: Supervise,
    /// The supervise of its logger, if it had a `log` when it was first seen.
    pub log: Option<Supervise>,
}

impl Service {
    /// The supervise of one of its parts; `None` where it has no such part.
    pub fn part(&self, part: Part) -> Option<Supervise> {
        match part {
            Part::Main => Some(self.main),
            Part::Log => self.log,
        }
    }

    fn parts(&self) -> impl Iterator<Item = (Part, Supervise)> {
        [Part::Main, Part::Log].into_iter().filter_map(|part| Some((part, self.part(part)?)))
    }

    /// Whether neither of its supervises runs.
    pub fn is_idle(&self) -> bool {
        self.parts().all(|(_, supervise)| matches!(supervise, Supervise::Ended { .. }))
    }
}

/// All services by identity.
pub type Services = BTreeMap<Id, Service>;

/// What a scan found, held against what is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Directories that are not known yet.
    pub new: Vec<Listed>,
    /// Known ones that are gone and have no supervise left.
    pub forget: Vec<Id>,
}

/// Marks which known services are listed, under which name, and says what is new and what to forget.
/// A directory that is listed under two names is one service.
pub fn compare(services: &mut Services, listing: Vec<Listed>) -> Comparison {
    let mut seen = BTreeSet::new();
    let mut new = vec![];
    services.values_mut().for_each(|service| service.listed = false);
    for listed in listing {
        match services.get_mut(&listed.id) {
            Some(service) if !service.listed => {
                service.listed = true;
                service.name = listed.name;
            }
            Some(_) => {}
            None if seen.insert(listed.id) => new.push(listed),
            None => {}
        }
    }
    let gone = services.iter().filter(|(_, service)| !service.listed && service.is_idle());
    Comparison { new, forget: gone.map(|(id, _)| *id).collect() }
}

/// The supervises that are to be started now.
pub fn due(services: &Services, now: Moment) -> Vec<(Id, Part)> {
    ended(services).filter(|(_, _, again)| *again <= now).map(|(id, part, _)| (id, part)).collect()
}

/// When the next one is to be started.
pub fn next_due(services: &Services) -> Option<Moment> {
    ended(services).map(|(_, _, again)| again).min()
}

fn ended(services: &Services) -> impl Iterator<Item = (Id, Part, Moment)> {
    let listed = services.iter().filter(|(_, service)| service.listed);
    listed.flat_map(|(id, service)| {
        service.parts().filter_map(|(part, supervise)| match supervise {
            Supervise::Ended { again } => Some((*id, part, again)),
            Supervise::Running { .. } => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Duration::from_secs(100);

    fn id(inode: u64) -> Id {
        Id { device: 1, inode }
    }

    fn listed(inode: u64, name: &str) -> Listed {
        Listed { id: id(inode), name: name.into() }
    }

    fn running() -> Supervise {
        Supervise::Running { pid: 7, since: NOW }
    }

    fn known(inode: u64, main: Supervise, log: Option<Supervise>) -> Services {
        Services::from([(id(inode), Service { name: "a".into(), listed: true, main, log })])
    }

    #[test]
    fn a_directory_not_seen_before_is_new_once_under_whatever_names() {
        let mut services = known(1, running(), None);
        let found = compare(&mut services, vec![listed(1, "a"), listed(2, "b"), listed(2, "c")]);
        assert_eq!(found, Comparison { new: vec![listed(2, "b")], forget: vec![] });
    }

    #[test]
    fn a_renamed_directory_is_the_same_service() {
        let mut services = known(1, running(), None);
        let found = compare(&mut services, vec![listed(1, "z")]);
        assert_eq!(found, Comparison { new: vec![], forget: vec![] });
        assert_eq!(services[&id(1)].name, "z");
    }

    #[test]
    fn a_service_whose_directory_is_gone_is_forgotten_when_its_supervises_have_exited() {
        let over = Supervise::Ended { again: NOW };
        for (main, log, forgotten) in [
            (running(), None, false),
            (over, Some(running()), false),
            (running(), Some(over), false),
            (over, Some(over), true),
            (over, None, true),
        ] {
            let mut services = known(1, main, log);
            let found = compare(&mut services, vec![]);
            assert_eq!(!found.forget.is_empty(), forgotten, "{main:?} {log:?}");
            assert_eq!(due(&services, NOW), [], "nothing of it is started again");
        }
    }

    #[test]
    fn a_killed_supervise_comes_back_at_once_and_one_told_to_exit_at_the_next_scan() {
        let now = NOW + Duration::from_secs(60);
        let killed = running().ended(true, now);
        assert_eq!(due(&known(1, killed, None), now), [(id(1), Part::Main)]);
        let exited = running().ended(false, now);
        assert_eq!(due(&known(1, exited, None), now), []);
        assert_eq!(due(&known(1, exited, None), now + SCAN), [(id(1), Part::Main)]);
    }

    #[test]
    fn a_supervise_is_started_at_most_once_a_second() {
        let killed = running().ended(true, NOW + Duration::from_millis(10));
        let services = known(1, running(), Some(killed));
        assert_eq!(due(&services, NOW + Duration::from_millis(10)), []);
        assert_eq!(next_due(&services), Some(NOW + SPACING));
        assert_eq!(due(&services, NOW + SPACING), [(id(1), Part::Log)]);
    }

    #[test]
    fn a_new_service_is_due_at_once() {
        let services = known(1, Supervise::NEW, Some(Supervise::NEW));
        assert_eq!(due(&services, Moment::ZERO), [(id(1), Part::Main), (id(1), Part::Log)]);
    }
}
