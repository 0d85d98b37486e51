//! Which processes have a queue of their own: a pure machine.
//!
//! A process (wfid) gets a queue for status and cancel when a workitem of it has been in hand for a moment, and
//! loses it when the last one is done. The moment keeps work that is done at once free of it: a channel and a queue
//! cost a broker more than such a workitem does.
//!
//! ```text
//!  (none) ── held ──▶ Due{at} ── time, carried ──▶ Opening ── opened ──▶ Open
//!    ▲                  ▲  └────────── lost, failed ──┴──────────────────┘
//!    └── the last workitem is released, from any of them
//! ```

use crate::machine::{Id, Moment};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// How long a workitem runs before its process gets a queue.
pub const RUNNING: Duration = Duration::from_millis(10);
/// How long one waits for a free worker before it does.
pub const WAITING: Duration = Duration::from_millis(250);
/// When a queue that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Names an opening, so that news of one that is past is not taken for news of the next.
pub type Turn = u64;

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A workitem is in hand.
    Held(Id, String),
    /// It runs.
    Started(Id),
    /// It is not in hand any more.
    Released(Id),
    /// AIR can be carried.
    Carried,
    /// It cannot any more: all queues are gone.
    Lost,
    /// A queue is there.
    Opened(Turn),
    /// A queue could not be opened, or has gone.
    Failed(Turn),
    /// Time has passed.
    Due,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the queue of a process.
    Open(Turn, String),
    /// Close it, also while it is being opened.
    Close(Turn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due(Moment),
    Opening(Turn),
    Open(Turn),
}

#[derive(Debug)]
struct Process {
    held: BTreeSet<Id>,
    state: State,
}

/// The processes that have workitems in hand.
#[derive(Debug, Default)]
pub struct Queues {
    processes: HashMap<String, Process>,
    wfids: HashMap<Id, String>,
    carried: bool,
    turn: Turn,
}

impl Queues {
    /// When [`Event::Due`] is to be reported.
    pub fn deadline(&self) -> Option<Moment> {
        if !self.carried {
            return None;
        }
        let due = |process: &Process| match process.state {
            State::Due(at) => Some(at),
            State::Opening(_) | State::Open(_) => None,
        };
        self.processes.values().filter_map(due).min()
    }

    /// Takes in `event`; returns what is to be done.
    #[must_use]
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        match event {
            Event::Held(id, wfid) => self.held(now, id, wfid),
            Event::Started(id) => self.started(now, id),
            Event::Released(id) => return self.released(id),
            Event::Carried => self.carried = true,
            Event::Lost => self.lost(now),
            Event::Opened(turn) => self.change(State::Opening(turn), State::Open(turn)),
            Event::Failed(turn) => {
                self.change(State::Opening(turn), State::Due(now + RETRY));
                self.change(State::Open(turn), State::Due(now + RETRY));
            }
            Event::Due => {}
        }
        self.open_what_is_due(now)
    }

    fn held(&mut self, now: Moment, id: Id, wfid: String) {
        let process = self
            .processes
            .entry(wfid.clone())
            .or_insert_with(|| Process { held: BTreeSet::new(), state: State::Due(now + WAITING) });
        process.held.insert(id);
        self.wfids.insert(id, wfid);
    }

    fn started(&mut self, now: Moment, id: Id) {
        let process = self.wfids.get(&id).and_then(|wfid| self.processes.get_mut(wfid));
        if let Some(Process { state: State::Due(at), .. }) = process {
            *at = (*at).min(now + RUNNING);
        }
    }

    fn released(&mut self, id: Id) -> Vec<Action> {
        let Some(wfid) = self.wfids.remove(&id) else { return vec![] };
        let Some(process) = self.processes.get_mut(&wfid) else { return vec![] };
        process.held.remove(&id);
        if !process.held.is_empty() {
            return vec![];
        }
        match self.processes.remove(&wfid).map(|process| process.state) {
            Some(State::Opening(turn) | State::Open(turn)) => vec![Action::Close(turn)],
            Some(State::Due(_)) | None => vec![],
        }
    }

    fn lost(&mut self, now: Moment) {
        self.carried = false;
        self.processes.values_mut().for_each(|process| process.state = State::Due(now));
    }

    fn change(&mut self, from: State, to: State) {
        if let Some(process) = self.processes.values_mut().find(|process| process.state == from) {
            process.state = to;
        }
    }

    fn open_what_is_due(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = vec![];
        if !self.carried {
            return actions;
        }
        for (wfid, process) in &mut self.processes {
            if matches!(process.state, State::Due(at) if at <= now) {
                self.turn += 1;
                process.state = State::Opening(self.turn);
                actions.push(Action::Open(self.turn, wfid.clone()));
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn held(id: Id, wfid: &str) -> Event {
        Event::Held(id, wfid.into())
    }

    #[test]
    fn what_is_done_at_once_costs_no_queue() {
        let mut q = Queues::default();
        for event in [Event::Carried, held(1, "w"), Event::Started(1), Event::Released(1)] {
            assert_eq!(q.step(Duration::ZERO, event), []);
        }
        assert_eq!((q.deadline(), q.step(RUNNING, Event::Due)), (None, vec![]));
    }

    #[test]
    fn a_queue_is_opened_once_for_all_workitems_of_a_process_and_closed_after_the_last() {
        let mut q = Queues::default();
        for event in [Event::Carried, held(1, "w"), Event::Started(1), held(2, "w")] {
            assert_eq!(q.step(Duration::ZERO, event), []);
        }
        assert_eq!(q.deadline(), Some(RUNNING));
        assert_eq!(q.step(RUNNING, Event::Due), [Action::Open(1, "w".into())]);
        assert_eq!(q.step(RUNNING, Event::Opened(1)), []);
        assert_eq!(q.step(RUNNING, Event::Released(1)), []);
        assert_eq!(q.step(RUNNING, Event::Released(2)), [Action::Close(1)]);
    }

    #[test]
    fn done_before_the_queue_is_there_it_is_closed_all_the_same() {
        let mut q = Queues::default();
        let _ = q.step(Duration::ZERO, Event::Carried);
        let _ = q.step(Duration::ZERO, held(1, "w"));
        assert_eq!(q.step(WAITING, Event::Due), [Action::Open(1, "w".into())]);
        assert_eq!(q.step(WAITING, Event::Released(1)), [Action::Close(1)]);
        assert_eq!(q.step(WAITING, Event::Opened(1)), []);
    }

    #[test]
    fn after_a_lost_connection_all_are_opened_anew_and_old_news_mean_nothing() {
        let mut q = Queues::default();
        let _ = q.step(Duration::ZERO, Event::Carried);
        let _ = q.step(Duration::ZERO, held(1, "w"));
        assert_eq!(q.step(WAITING, Event::Due).len(), 1);
        assert_eq!(q.step(WAITING, Event::Lost), []);
        assert_eq!(q.step(WAITING, Event::Carried), [Action::Open(2, "w".into())]);
        assert_eq!(q.step(WAITING, Event::Failed(1)), []);
        assert_eq!(q.step(WAITING, Event::Failed(2)), []);
        assert_eq!(q.deadline(), Some(WAITING + RETRY));
    }

    proptest! {
        /// "A control queue exists exactly while its wfid is in flight."
        #[test]
        fn a_queue_is_there_exactly_while_its_process_has_a_workitem_in_hand(
            choices in proptest::collection::vec((0..8u8, 0..6u64, 0..3u8), 1..300)
        ) {
            let mut q = Queues::default();
            let (mut now, mut carried) = (Duration::ZERO, false);
            // Which workitems are in hand since when, and which queues there are, opened or being opened.
            let mut hand: HashMap<Id, (String, Moment)> = HashMap::new();
            let mut queues: HashMap<Turn, String> = HashMap::new();
            let mut failed: HashMap<String, Moment> = HashMap::new();
            for (choice, id, w) in choices {
                let event = match choice {
                    0 | 1 if !hand.contains_key(&id) => {
                        hand.insert(id, (format!("w{w}"), now));
                        held(id, &format!("w{w}"))
                    }
                    2 if hand.contains_key(&id) => Event::Started(id),
                    3 if hand.remove(&id).is_some() => Event::Released(id),
                    4 => { carried = true; Event::Carried }
                    5 => { carried = false; queues.clear(); failed.clear(); Event::Lost }
                    6 if !queues.is_empty() => {
                        let turn = *queues.keys().min().unwrap();
                        if id < 4 { Event::Opened(turn) } else {
                            failed.insert(queues.remove(&turn).unwrap(), now);
                            Event::Failed(turn)
                        }
                    }
                    _ => { now += MS * 100; Event::Due }
                };
                for action in q.step(now, event) {
                    match action {
                        Action::Open(turn, wfid) => {
                            prop_assert!(carried, "opened without a broker");
                            prop_assert!(!queues.values().any(|w| *w == wfid), "two queues of {}", wfid);
                            queues.insert(turn, wfid);
                        }
                        Action::Close(turn) => {
                            prop_assert!(queues.remove(&turn).is_some(), "closed what is not there");
                        }
                    }
                }
                for wfid in queues.values() {
                    prop_assert!(hand.values().any(|(w, _)| w == wfid), "{} has a queue for nothing", wfid);
                }
                if choice == 7 && carried {
                    for (wfid, since) in hand.values() {
                        let due = *since + WAITING <= now;
                        let retried = failed.get(wfid).is_none_or(|at| *at + RETRY <= now);
                        let there = queues.values().any(|w| w == wfid);
                        prop_assert!(there || !due || !retried, "{} has none", wfid);
                    }
                }
            }
        }
    }
}
