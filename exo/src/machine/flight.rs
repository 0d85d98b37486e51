//! The way of one workitem, from its delivery to its acknowledgement.

use super::{Action, Ask, Halt, Id, Key, Machine, Moment, backoff};
use air::Tag;

/// Results whose delivery was lost are remembered for so many workitems.
const REMEMBERED: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Waiting,
    Taking,
    Running,
    Parking { retry_at: Moment, failures: u32 },
    Sending { retry_at: Option<Moment>, refusals: u32 },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    pub key: Option<Key>,
    pub tag: Option<Tag>,
    pub stage: Stage,
    pub alone: bool,
}

impl Machine {
    /// Whether this is in hand and its delivery was lost: delivered again, it is adopted.
    pub fn awaits(&self, key: &Key) -> bool {
        self.flights.values().any(|flight| flight.tag.is_none() && flight.key.as_ref() == Some(key))
    }

    pub(super) fn delivered(&mut self, now: Moment, id: Id, tag: Tag, ask: Ask) -> Vec<Action> {
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

    pub(super) fn taken(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Taking => {
                flight.stage = Stage::Running;
                vec![Action::Start(id)]
            }
            _ => vec![],
        }
    }

    /// What was not begun goes back, for whoever can work on it, and nothing more is taken from the queue.
    pub(super) fn not_taken(&mut self, id: Id, now: Moment) -> Vec<Action> {
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

    pub(super) fn writable(&mut self) -> Vec<Action> {
        match self.halt.take() {
            Some(_) if !self.draining() => vec![Action::Consume],
            _ => vec![],
        }
    }

    pub(super) fn not_writable(&mut self, now: Moment) -> Vec<Action> {
        if let Some(Halt { retry_at, failures }) = &mut self.halt {
            *retry_at = now + backoff(*failures);
            *failures += 1;
        }
        vec![]
    }

    pub(super) fn parked(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get(&id) {
            Some(Flight { stage: Stage::Parking { .. }, tag, .. }) => {
                let tag = *tag;
                self.flights.remove(&id);
                tag.map(Action::Ack).into_iter().chain([Action::Drop(id)]).collect()
            }
            _ => vec![],
        }
    }

    pub(super) fn not_parked(&mut self, id: Id, now: Moment) -> Vec<Action> {
        if let Some(Flight { stage: Stage::Parking { retry_at, failures }, .. }) = self.flights.get_mut(&id) {
            *retry_at = now + backoff(*failures);
            *failures += 1;
        }
        vec![]
    }

    pub(super) fn replied(&mut self, id: Id) -> Vec<Action> {
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
    pub(super) fn cancelled(&mut self, id: Id) -> Vec<Action> {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Waiting => {
                flight.stage = Stage::Sending { retry_at: None, refusals: 0 };
                self.publish_if_connected(id)
            }
            _ => vec![],
        }
    }

    /// The handler is done, or it was cancelled while it waited for one.
    pub(super) fn forgotten(&mut self, id: Id) -> Vec<Action> {
        let mut actions = match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Running => vec![Action::Keep(id)],
            Some(flight) if flight.stage == Stage::Waiting => {
                flight.stage = Stage::Done;
                vec![]
            }
            _ => return vec![],
        };
        actions.extend(self.settle(id));
        actions
    }

    pub(super) fn send_extra(&mut self, id: Id) -> Vec<Action> {
        let stage = Stage::Sending { retry_at: None, refusals: 0 };
        self.flights.insert(id, Flight { key: None, tag: None, stage, alone: false });
        self.publish_if_connected(id)
    }

    fn publish_if_connected(&self, id: Id) -> Vec<Action> {
        if self.connected { vec![Action::Publish(id)] } else { vec![] }
    }

    /// The work is done and its reply, if there is one, confirmed. Without a delivery to acknowledge it is
    /// remembered until that comes again.
    pub(super) fn settle(&mut self, id: Id) -> Vec<Action> {
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

    pub(super) fn refused(&mut self, id: Id, now: Moment) -> Vec<Action> {
        if let Some(Flight { stage: Stage::Sending { retry_at, refusals }, .. }) = self.flights.get_mut(&id) {
            *retry_at = Some(now + backoff(*refusals));
            *refusals += 1;
        }
        vec![]
    }
}
