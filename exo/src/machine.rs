//! What the session decides: a pure machine.
//!
//! ```text
//!             Connected         Stop, Renew           nothing in hand, or time is over
//!  Connecting ─────────▶ Working ───────▶ Draining ─────────────────────────────────▶ Stopped
//!             ◀─────────
//!                Lost
//! ```
//!
//! Always: a delivery is settled exactly once; it is acknowledged only after its reply is confirmed by the
//! broker; nothing is started while draining; a workitem that is in hand and is delivered again, because its
//! connection was lost, is adopted and not run twice. The journal knows of a workitem before its handler starts,
//! of its reply before that is published, and of the acknowledgement after it: what cannot be journalled is not
//! started, consuming stops until the journal can be written again.
//!
//! Bodies are not kept here; whoever performs the actions keeps them by [`Id`].
//!
//! | file | idea |
//! |---|---|
//! | `events.rs` | what it hears and what it answers |
//! | `flight.rs` | the way of one workitem, from its delivery to its acknowledgement |

mod events;
mod flight;

pub use events::{Action, Ask, Event, Key, Phase};
use flight::{Flight, Stage};
use std::collections::BTreeMap;
use std::time::Duration;

/// A point of the monotonic clock.
pub type Moment = Duration;
/// Names a workitem in hand within this process.
pub type Id = u64;

/// How long before the end a handler is told that it is about to die.
pub const ABOUT_TO_DIE: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);

/// How long to wait after so many failures.
fn backoff(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(MAX_RETRY)
}

/// The journal cannot be written: nothing is started, nothing taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Halt {
    retry_at: Moment,
    failures: u32,
}

/// The whole of what the session knows when it decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    phase: Phase,
    connected: bool,
    workers: usize,
    grace: Duration,
    flights: BTreeMap<Id, Flight>,
    halt: Option<Halt>,
}

impl Machine {
    /// A session for so many workers, not connected yet.
    pub fn new(workers: usize, grace: Duration) -> Self {
        Self {
            phase: Phase::Connecting,
            connected: false,
            workers,
            grace,
            flights: BTreeMap::new(),
            halt: None,
        }
    }

    /// Where the session is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the link is up.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The workitems that handlers have in hand.
    pub fn running(&self) -> impl Iterator<Item = Id> + '_ {
        self.flights.iter().filter(|(_, flight)| flight.stage == Stage::Running).map(|(id, _)| *id)
    }

    /// What is being done about a workitem in hand: it is `waiting` for a worker, `running`, or `replying`.
    pub fn state(&self, id: Id) -> Option<&'static str> {
        match self.flights.get(&id)?.stage {
            Stage::Waiting | Stage::Taking => Some("waiting"),
            Stage::Running => Some("running"),
            Stage::Sending { .. } => Some("replying"),
            Stage::Done | Stage::Parking { .. } => None,
        }
    }

    /// When [`Event::Due`] is to be reported.
    pub fn deadline(&self) -> Option<Moment> {
        let draining = match self.phase {
            Phase::Draining { until, told: false, .. } => Some(until.saturating_sub(ABOUT_TO_DIE)),
            Phase::Draining { until, told: true, .. } => Some(until),
            _ => None,
        };
        let retries = self.flights.values().filter_map(|flight| match flight.stage {
            Stage::Sending { retry_at, .. } if self.connected => retry_at,
            Stage::Parking { retry_at, .. } => Some(retry_at),
            _ => None,
        });
        let probe = self.halt.filter(|_| !self.draining()).map(|halt| halt.retry_at);
        draining.into_iter().chain(retries).chain(probe).min()
    }

    /// Takes in `event`; returns what is to be done.
    #[must_use]
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        if self.phase == Phase::Stopped {
            return vec![];
        }
        let mut actions = match event {
            Event::Connected => self.link_is_up(),
            Event::Lost => self.link_is_down(),
            Event::Reopened => self.deliveries_are_gone(),
            Event::Delivered { id, tag, ask } => self.delivered(now, id, tag, ask),
            Event::Taken(id) => self.taken(id),
            Event::NotTaken(id) => self.not_taken(id, now),
            Event::Writable => self.writable(),
            Event::NotWritable => self.not_writable(now),
            Event::Parked(id) => self.parked(id),
            Event::NotParked(id) => self.not_parked(id, now),
            Event::Replied(id) => self.replied(id),
            Event::Cancelled(id) => self.cancelled(id),
            Event::Forgotten(id) => self.forgotten(id),
            Event::Extra(id) => self.send_extra(id),
            Event::Confirmed(id) => self.settle(id),
            Event::Refused(id) => self.refused(id, now),
            Event::Stop => self.stop(now),
            Event::Renew(patience) => self.renew(now, patience),
            Event::Due => self.due(now),
        };
        actions.extend(self.start_waiting());
        actions.extend(self.finish(now));
        actions
    }

    fn draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    fn link_is_up(&mut self) -> Vec<Action> {
        self.connected = true;
        if self.phase == Phase::Connecting {
            self.phase = Phase::Working;
        }
        let unsent = self.flights.iter().filter(|(_, f)| matches!(f.stage, Stage::Sending { .. }));
        let actions = unsent.map(|(id, _)| Action::Publish(*id)).collect();
        for flight in self.flights.values_mut() {
            if let Stage::Sending { retry_at, .. } = &mut flight.stage {
                *retry_at = None;
            }
        }
        actions
    }

    fn link_is_down(&mut self) -> Vec<Action> {
        self.connected = false;
        if self.phase == Phase::Working {
            self.phase = Phase::Connecting;
        }
        self.deliveries_are_gone()
    }

    /// All deliveries are the broker's again. What was not begun is forgotten: it will be delivered anew.
    fn deliveries_are_gone(&mut self) -> Vec<Action> {
        self.flights.values_mut().for_each(|flight| flight.tag = None);
        self.remove(|flight| matches!(flight.stage, Stage::Waiting | Stage::Parking { .. }))
    }

    fn stop(&mut self, now: Moment) -> Vec<Action> {
        match self.phase {
            Phase::Draining { ordered: true, until, told } => {
                let until = until.min(now + ABOUT_TO_DIE);
                self.phase = Phase::Draining { ordered: true, until, told: true };
                if told { vec![] } else { vec![Action::Die] }
            }
            Phase::Draining { ordered: false, until, told } => {
                self.phase = Phase::Draining { ordered: true, until: until.min(now + self.grace), told };
                vec![]
            }
            _ => self.drain(true, now + self.grace),
        }
    }

    fn renew(&mut self, now: Moment, patience: Duration) -> Vec<Action> {
        if self.draining() {
            return vec![];
        }
        self.drain(false, now.saturating_add(patience).saturating_add(self.grace))
    }

    fn drain(&mut self, ordered: bool, until: Moment) -> Vec<Action> {
        self.phase = Phase::Draining { ordered, until, told: false };
        let mut actions = vec![Action::StopConsuming];
        actions.extend(
            self.remove(|flight| {
                matches!(flight.stage, Stage::Waiting | Stage::Taking | Stage::Parking { .. })
            }),
        );
        actions
    }

    fn due(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = vec![];
        if let Phase::Draining { ordered, until, told: false } = self.phase
            && until.saturating_sub(ABOUT_TO_DIE) <= now
        {
            self.phase = Phase::Draining { ordered, until, told: true };
            actions.push(Action::Die);
        }
        for (id, flight) in &mut self.flights {
            if let Stage::Sending { retry_at, .. } = &mut flight.stage
                && self.connected
                && retry_at.is_some_and(|at| at <= now)
            {
                *retry_at = None;
                actions.push(Action::Publish(*id));
            }
            if let Stage::Parking { retry_at, failures } = &mut flight.stage
                && *retry_at <= now
            {
                // Until the answer comes.
                *retry_at = now + backoff(*failures);
                actions.push(Action::Park(*id));
            }
        }
        let draining = self.draining();
        if let Some(halt) = &mut self.halt
            && halt.retry_at <= now
            && !draining
        {
            halt.retry_at = now + backoff(halt.failures);
            actions.push(Action::Probe);
        }
        actions
    }

    /// Takes flights out, giving back the deliveries they hold.
    fn remove(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Action> {
        let ids: Vec<_> = self.flights.iter().filter(|(_, f)| which(f)).map(|(id, _)| *id).collect();
        let mut actions = vec![];
        for id in ids {
            let tag = self.flights.remove(&id).and_then(|flight| flight.tag);
            actions.extend(tag.map(Action::GiveBack));
            actions.push(Action::Drop(id));
        }
        actions
    }

    /// In the order in which they came. One that is to run alone waits until nothing else runs, and those after
    /// it wait until it is done.
    fn start_waiting(&mut self) -> Vec<Action> {
        let mut actions = vec![];
        if self.draining() || self.halt.is_some() {
            return actions;
        }
        let at_work = |f: &Flight| matches!(f.stage, Stage::Running | Stage::Taking);
        let running = self.flights.values().filter(|f| at_work(f)).count();
        let mut alone = self.flights.values().any(|f| at_work(f) && f.alone);
        for (id, flight) in self.flights.iter_mut().filter(|(_, f)| f.stage == Stage::Waiting) {
            let busy = running + actions.len();
            if busy >= self.workers || alone || (flight.alone && busy > 0) {
                break;
            }
            flight.stage = Stage::Taking;
            alone |= flight.alone;
            actions.push(Action::Take(*id));
        }
        actions
    }

    fn finish(&mut self, now: Moment) -> Vec<Action> {
        let Phase::Draining { until, .. } = self.phase else { return vec![] };
        let in_hand = |f: &Flight| matches!(f.stage, Stage::Running | Stage::Sending { .. });
        if until > now && self.flights.values().any(in_hand) {
            return vec![];
        }
        self.phase = Phase::Stopped;
        let mut actions = self.remove(|_| true);
        actions.push(Action::Finish);
        actions
    }
}

#[cfg(test)]
mod tests;
