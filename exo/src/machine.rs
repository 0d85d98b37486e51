//! What the session decides: a pure machine.
//!
//! ```text
//!             Connected            Stop               nothing in hand, or time is over
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

use air::Tag;
use std::collections::BTreeMap;
use std::time::Duration;

/// A point of the monotonic clock.
pub type Moment = Duration;
/// Names a workitem in hand within this process.
pub type Id = u64;

/// How long before the end a handler is told that it is about to die.
pub const ABOUT_TO_DIE: Duration = Duration::from_secs(5);
/// Results whose delivery was lost are remembered for so many workitems.
const REMEMBERED: usize = 1000;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);

/// How long to wait after so many failures.
fn backoff(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(MAX_RETRY)
}

/// What makes two deliveries the same: fei and the digest of the whole message.
pub type Key = (String, [u8; 32]);

/// What a delivery asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// A workitem to be handled.
    Handle(Key),
    /// A workitem that cannot be handled, but answered: its reply is ready.
    Answer(Key),
    /// Nothing but to be acknowledged.
    Settle,
    /// A workitem to be handled when nothing else is: it may have ended a process before.
    Alone(Key),
    /// It could not be parked in the failed store: to be tried again, and not acknowledged before.
    Park,
}

/// What happens to the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The link is up.
    Connected,
    /// The link is down.
    Lost,
    /// The broker has taken all deliveries back, while the link stays up.
    Reopened,
    /// A delivery came; `id` is new.
    Delivered {
        /// What to call it.
        id: Id,
        /// What to settle it by.
        tag: Tag,
        /// What it asks for.
        ask: Ask,
    },
    /// The handler is done; its reply is ready.
    Replied(Id),
    /// The handler is done and no reply is wanted.
    Forgotten(Id),
    /// It is cancelled while it waits for a worker; its reply is ready.
    Cancelled(Id),
    /// The handler asks for a message of its own to be sent; `id` is new.
    Extra(Id),
    /// The journal has it: its handler may start.
    Taken(Id),
    /// The journal could not take it.
    NotTaken(Id),
    /// The journal can be written.
    Writable,
    /// The journal can still not be written.
    NotWritable,
    /// It is parked in the failed store.
    Parked(Id),
    /// It could not be parked.
    NotParked(Id),
    /// The broker has the message.
    Confirmed(Id),
    /// The broker did not take the message.
    Refused(Id),
    /// Told to stop.
    Stop,
    /// The moment of [`Machine::deadline`] has come.
    Due,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Give the workitem to a free worker.
    Start(Id),
    /// Write into the journal that it is taken; answered by [`Event::Taken`] or [`Event::NotTaken`].
    Take(Id),
    /// Write its reply, or that there is none, into the journal. Where that fails it is published all the same.
    Keep(Id),
    /// Write into the journal that its delivery is acknowledged.
    Settled(Id),
    /// See whether the journal can be written; answered by [`Event::Writable`] or [`Event::NotWritable`].
    Probe,
    /// Park it in the failed store; answered by [`Event::Parked`] or [`Event::NotParked`].
    Park(Id),
    /// Take from the queue again.
    Consume,
    /// Publish its reply.
    Publish(Id),
    /// Acknowledge the delivery.
    Ack(Tag),
    /// Give the delivery back to its queue.
    GiveBack(Tag),
    /// Its message is confirmed or it was given up: forget all about it.
    Drop(Id),
    /// Take no more from the queue.
    StopConsuming,
    /// Tell the handler that the process is about to be terminated.
    Die,
    /// All is done: end the process.
    Finish,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not connected.
    Connecting,
    /// Connected and consuming.
    Working,
    /// Told to stop; what runs may finish until then.
    Draining {
        /// When it is over.
        until: Moment,
        /// Whether the handler knows that it is about to die.
        told: bool,
    },
    /// Over.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Waiting,
    Taking,
    Running,
    Parking { retry_at: Moment, failures: u32 },
    Sending { retry_at: Option<Moment>, refusals: u32 },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    key: Option<Key>,
    tag: Option<Tag>,
    stage: Stage,
    alone: bool,
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
            Phase::Draining { until, told: false } => Some(until.saturating_sub(ABOUT_TO_DIE)),
            Phase::Draining { until, told: true } => Some(until),
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

    fn delivered(&mut self, now: Moment, id: Id, tag: Tag, ask: Ask) -> Vec<Action> {
        if self.draining() {
            return vec![Action::GiveBack(tag), Action::Drop(id)];
        }
        let alone = matches!(ask, Ask::Alone(_));
        let (key, stage) = match ask {
            Ask::Park => {
                let stage = Stage::Parking { retry_at: now + backoff(0), failures: 1 };
                self.flights.insert(id, Flight { key: None, tag: Some(tag), stage, alone });
                return vec![];
            }
            Ask::Settle => return vec![Action::Ack(tag), Action::Settled(id), Action::Drop(id)],
            Ask::Handle(key) | Ask::Alone(key) if self.halt.is_none() => (key, Stage::Waiting),
            Ask::Handle(_) | Ask::Alone(_) => return vec![Action::GiveBack(tag), Action::Drop(id)],
            Ask::Answer(key) => (key, Stage::Sending { retry_at: None, refusals: 0 }),
        };
        let same = |f: &Flight| f.tag.is_none() && f.key.as_ref() == Some(&key);
        if let Some((known, flight)) = self.flights.iter_mut().find(|(_, f)| same(f)) {
            flight.tag = Some(tag);
            let (known, done) = (*known, flight.stage == Stage::Done);
            let mut actions = vec![Action::Drop(id)];
            if done {
                actions.extend(self.settle(known));
            }
            return actions;
        }
        self.flights.insert(id, Flight { key: Some(key), tag: Some(tag), stage, alone });
        match stage {
            Stage::Sending { .. } if self.connected => vec![Action::Publish(id)],
            _ => vec![],
        }
    }

    fn taken(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Taking => {
                flight.stage = Stage::Running;
                vec![Action::Start(id)]
            }
            _ => vec![],
        }
    }

    /// What was not begun goes back, for whoever can work on it, and nothing more is taken from the queue.
    fn not_taken(&mut self, id: Id, now: Moment) -> Vec<Action> {
        if self.flights.get(&id).is_none_or(|flight| flight.stage != Stage::Taking) {
            return vec![];
        }
        let mut actions = vec![];
        if self.halt.is_none() && !self.draining() {
            self.halt = Some(Halt { retry_at: now + backoff(0), failures: 1 });
            actions.push(Action::StopConsuming);
        }
        actions.extend(self.remove(|flight| matches!(flight.stage, Stage::Waiting | Stage::Taking)));
        actions
    }

    fn writable(&mut self) -> Vec<Action> {
        match self.halt.take() {
            Some(_) if !self.draining() => vec![Action::Consume],
            _ => vec![],
        }
    }

    fn not_writable(&mut self, now: Moment) -> Vec<Action> {
        if let Some(Halt { retry_at, failures }) = &mut self.halt {
            *retry_at = now + backoff(*failures);
            *failures += 1;
        }
        vec![]
    }

    fn parked(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get(&id) {
            Some(Flight { stage: Stage::Parking { .. }, tag, .. }) => {
                let tag = *tag;
                self.flights.remove(&id);
                tag.map(Action::Ack).into_iter().chain([Action::Drop(id)]).collect()
            }
            _ => vec![],
        }
    }

    fn not_parked(&mut self, id: Id, now: Moment) -> Vec<Action> {
        if let Some(Flight { stage: Stage::Parking { retry_at, failures }, .. }) = self.flights.get_mut(&id) {
            *retry_at = now + backoff(*failures);
            *failures += 1;
        }
        vec![]
    }

    fn replied(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Running => {
                flight.stage = Stage::Sending { retry_at: None, refusals: 0 };
                let mut actions = vec![Action::Keep(id)];
                actions.extend(self.publish_if_connected(id));
                actions
            }
            _ => vec![],
        }
    }

    /// What still waited for a worker is answered at once.
    fn cancelled(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Waiting => {
                flight.stage = Stage::Sending { retry_at: None, refusals: 0 };
                self.publish_if_connected(id)
            }
            _ => vec![],
        }
    }

    fn forgotten(&mut self, id: Id) -> Vec<Action> {
        if self.flights.get(&id).is_none_or(|flight| flight.stage != Stage::Running) {
            return vec![];
        }
        let mut actions = vec![Action::Keep(id)];
        actions.extend(self.settle(id));
        actions
    }

    fn send_extra(&mut self, id: Id) -> Vec<Action> {
        let stage = Stage::Sending { retry_at: None, refusals: 0 };
        self.flights.insert(id, Flight { key: None, tag: None, stage, alone: false });
        self.publish_if_connected(id)
    }

    fn publish_if_connected(&self, id: Id) -> Vec<Action> {
        if self.connected { vec![Action::Publish(id)] } else { vec![] }
    }

    /// The work is done and its reply, if there is one, confirmed. Without a delivery to acknowledge it is
    /// remembered until that comes again.
    fn settle(&mut self, id: Id) -> Vec<Action> {
        let Some(flight) = self.flights.get_mut(&id) else { return vec![] };
        if matches!(flight.stage, Stage::Waiting | Stage::Taking | Stage::Parking { .. }) {
            return vec![];
        }
        match (flight.tag, &flight.key) {
            (Some(tag), _) => {
                self.flights.remove(&id);
                vec![Action::Ack(tag), Action::Settled(id), Action::Drop(id)]
            }
            (None, None) => {
                self.flights.remove(&id);
                vec![Action::Drop(id)]
            }
            (None, Some(_)) => {
                flight.stage = Stage::Done;
                self.forget_the_oldest()
            }
        }
    }

    fn forget_the_oldest(&mut self) -> Vec<Action> {
        let done: Vec<_> =
            self.flights.iter().filter(|(_, f)| f.stage == Stage::Done).map(|(id, _)| *id).collect();
        let many = done.len().saturating_sub(REMEMBERED);
        done[..many].iter().for_each(|id| drop(self.flights.remove(id)));
        done[..many].iter().map(|id| Action::Drop(*id)).collect()
    }

    fn refused(&mut self, id: Id, now: Moment) -> Vec<Action> {
        if let Some(Flight { stage: Stage::Sending { retry_at, refusals }, .. }) = self.flights.get_mut(&id) {
            *retry_at = Some(now + backoff(*refusals));
            *refusals += 1;
        }
        vec![]
    }

    fn stop(&mut self, now: Moment) -> Vec<Action> {
        match self.phase {
            Phase::Draining { until, told } => {
                let until = until.min(now + ABOUT_TO_DIE);
                self.phase = Phase::Draining { until, told: true };
                if told { vec![] } else { vec![Action::Die] }
            }
            _ => {
                self.phase = Phase::Draining { until: now + self.grace, told: false };
                let mut actions = vec![Action::StopConsuming];
                actions.extend(self.remove(|flight| {
                    matches!(flight.stage, Stage::Waiting | Stage::Taking | Stage::Parking { .. })
                }));
                actions
            }
        }
    }

    fn due(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = vec![];
        if let Phase::Draining { until, told: false } = self.phase
            && until.saturating_sub(ABOUT_TO_DIE) <= now
        {
            self.phase = Phase::Draining { until, told: true };
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
