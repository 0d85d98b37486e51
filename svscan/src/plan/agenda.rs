//! What waits for which moment. It follows from the services, and is kept beside them so that ten thousand of them need
//! not be gone through for every event.

use super::{Id, Moment, Place, Service, Supervise};
use std::collections::{BTreeMap, BTreeSet};

/// Starts and looks that wait, the earliest first, and how many supervises are not waiting to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agenda {
    starts: BTreeSet<(Moment, Place)>,
    looks: BTreeSet<(Moment, Place)>,
    at_work: usize,
}

impl Agenda {
    /// That of these services.
    pub fn of(services: &BTreeMap<Id, Service>) -> Self {
        let mut agenda = Self::default();
        for (id, service) in services {
            for (part, supervise) in service.parts() {
                agenda.add((*id, part), service.listed, supervise);
            }
        }
        agenda
    }

    /// Takes up a supervise of a service that is `listed` or not.
    pub fn add(&mut self, place: Place, listed: bool, supervise: Supervise) {
        self.at_work += usize::from(is_at_work(supervise));
        match supervise {
            Supervise::Due { at, .. } if listed => _ = self.starts.insert((at, place)),
            Supervise::Found { look: Some(at), .. } => _ = self.looks.insert((at, place)),
            _ => {}
        }
    }

    /// Takes out what was taken up.
    pub fn remove(&mut self, place: Place, listed: bool, supervise: Supervise) {
        self.at_work -= usize::from(is_at_work(supervise));
        match supervise {
            Supervise::Due { at, .. } if listed => _ = self.starts.remove(&(at, place)),
            Supervise::Found { look: Some(at), .. } => _ = self.looks.remove(&(at, place)),
            _ => {}
        }
    }

    /// The first moments: of a start, and of a look.
    pub fn first(&self) -> (Option<Moment>, Option<Moment>) {
        (self.starts.first().map(|(at, _)| *at), self.looks.first().map(|(at, _)| *at))
    }

    /// Whose start, and whose look, is due: starts for as many as there is room for.
    pub fn due(&self, now: Moment, room: usize) -> (Vec<Place>, Vec<Place>) {
        let due = |waiting: &BTreeSet<(Moment, Place)>, most| {
            waiting.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, place)| *place).collect()
        };
        (due(&self.starts, room), due(&self.looks, usize::MAX))
    }

    /// Whether all supervises wait to be started.
    pub fn is_idle(&self) -> bool {
        self.at_work == 0
    }
}

fn is_at_work(supervise: Supervise) -> bool {
    !matches!(supervise, Supervise::Due { .. })
}
