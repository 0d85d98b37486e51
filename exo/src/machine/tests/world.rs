//! The promises, in every state that can be reached in a few steps, and along random ways through the others.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A broker, a journal and handlers that do what the machine asks, in whatever order chance has it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct World {
    connected: bool,
    consuming: bool,
    epoch: u32,
    next: u64,
    unsettled: BTreeMap<Tag, u8>,
    running: BTreeSet<Id>,
    sending: BTreeSet<Id>,
    confirmed: BTreeSet<u8>,
    keys: BTreeMap<Id, u8>,
    alone: BTreeSet<Id>,
    taken: BTreeSet<Id>,
    kept: BTreeSet<Id>,
    draining: bool,
    ordered: bool,
    over: bool,
    broken_journal: bool,
}

impl World {
    fn new() -> Self {
        Self { consuming: true, ..Self::default() }
    }

    /// Performs actions, and reports to the machine what it asked for at once.
    fn perform(&mut self, machine: &mut Machine, now: Moment, actions: Vec<Action>) {
        for action in actions {
            let answer = match action {
                Action::Take(id) if self.broken_journal => Some(Event::NotTaken(id)),
                Action::Take(id) => {
                    self.taken.insert(id);
                    Some(Event::Taken(id))
                }
                Action::Probe => Some(if self.broken_journal { Event::NotWritable } else { Event::Writable }),
                Action::Park(id) => {
                    Some(if self.broken_journal { Event::NotParked(id) } else { Event::Parked(id) })
                }
                other => {
                    self.done(other);
                    None
                }
            };
            if let Some(event) = answer {
                let actions = machine.step(now, event);
                self.perform(machine, now, actions);
            }
        }
    }

    fn done(&mut self, action: Action) {
        assert!(!self.over, "nothing is done after the end");
        match action {
            Action::Start(id) => {
                assert!(!self.draining, "nothing is started while draining");
                assert!(self.taken.contains(&id), "nothing is started that the journal does not know");
                assert!(self.running.insert(id), "started twice");
                assert!(self.running.len() == 1 || self.running.is_disjoint(&self.alone), "it runs alone");
            }
            Action::Keep(id) => {
                self.kept.insert(id);
            }
            Action::Publish(id) => {
                assert!(self.connected, "published without a broker");
                let computed = self.taken.contains(&id);
                assert!(!computed || self.kept.contains(&id), "a reply is kept before it is published");
                assert!(self.sending.insert(id), "sent while it is being sent");
            }
            Action::Ack(t) => {
                // What is removed here cannot be settled a second time.
                let k = self.unsettled.remove(&t).expect("acknowledged what is not ours");
                assert!(self.confirmed.contains(&k), "acknowledged before the reply was confirmed");
            }
            Action::GiveBack(t) => {
                assert!(self.unsettled.remove(&t).is_some(), "gave back what is not ours");
            }
            Action::StopConsuming => self.consuming = false,
            Action::Consume => {
                assert!(!self.draining, "took work while draining");
                self.consuming = true;
            }
            Action::Finish => self.over = true,
            Action::Settled(_) | Action::Drop(_) | Action::Die => {}
            Action::Take(_) | Action::Probe | Action::Park(_) => unreachable!("answered before"),
        }
    }

    /// What can happen now.
    fn choices(&self, messages: u8, deliveries: u64) -> Vec<Choice> {
        let mut all = vec![Choice::Due, Choice::Journal];
        if !self.ordered {
            all.push(Choice::Stop);
        }
        if !self.draining {
            all.push(Choice::Renew);
        }
        all.push(if self.connected { Choice::Lose } else { Choice::Connect });
        if self.connected && self.consuming && self.next < deliveries {
            // The broker delivers a message to one consumer at a time.
            let free = (0..messages).filter(|k| !self.unsettled.values().any(|other| other == k));
            all.extend(free.flat_map(|k| [Choice::Deliver(k, false), Choice::Deliver(k, true)]));
        }
        all.extend(self.running.iter().flat_map(|id| [Choice::Reply(*id), Choice::Forget(*id)]));
        all.extend(self.sending.iter().flat_map(|id| [Choice::Confirm(*id), Choice::Refuse(*id)]));
        all
    }

    fn happen(&mut self, choice: Choice) -> Option<Event> {
        Some(match choice {
            Choice::Connect => {
                self.connected = true;
                self.epoch += 1;
                Event::Connected
            }
            Choice::Lose => {
                self.connected = false;
                self.unsettled.clear();
                self.sending.clear();
                Event::Lost
            }
            Choice::Deliver(k, alone) => {
                self.next += 1;
                let (id, tag) = (self.next, tag(self.epoch, self.next));
                self.unsettled.insert(tag, k);
                self.keys.insert(id, k);
                if alone {
                    self.alone.insert(id);
                }
                let ask = if alone { Ask::Alone(key(k)) } else { Ask::Handle(key(k)) };
                Event::Delivered { id, tag, ask }
            }
            Choice::Reply(id) => {
                self.running.remove(&id);
                Event::Replied(id)
            }
            Choice::Forget(id) => {
                self.running.remove(&id);
                self.confirmed.insert(self.keys[&id]);
                Event::Forgotten(id)
            }
            Choice::Confirm(id) => {
                self.sending.remove(&id);
                self.confirmed.insert(self.keys[&id]);
                Event::Confirmed(id)
            }
            Choice::Refuse(id) => {
                self.sending.remove(&id);
                Event::Refused(id)
            }
            Choice::Journal => {
                self.broken_journal = !self.broken_journal;
                return None;
            }
            Choice::Stop => {
                (self.draining, self.ordered) = (true, true);
                Event::Stop
            }
            Choice::Renew => {
                self.draining = true;
                Event::Renew(GRACE)
            }
            Choice::Due => Event::Due,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    Connect,
    Lose,
    Deliver(u8, bool),
    Reply(Id),
    Forget(Id),
    Confirm(Id),
    Refuse(Id),
    Journal,
    Stop,
    Renew,
    Due,
}

/// One step of both.
fn go(machine: &mut Machine, world: &mut World, choice: Choice) {
    // Time goes only where something waits for it.
    let now = match choice {
        Choice::Due => machine.deadline().unwrap_or_default(),
        _ => Duration::ZERO,
    };
    if let Some(event) = world.happen(choice) {
        let actions = machine.step(now, event);
        world.perform(machine, now, actions);
    }
}

/// Every state that can be reached in so many steps, with two messages, two workers, a broker that comes and
/// goes and a journal that breaks and mends.
#[test]
fn in_every_state_that_can_be_reached_the_promises_hold() {
    let mut seen = std::collections::HashSet::new();
    let mut rim = vec![(Machine::new(2, GRACE), World::new())];
    for _ in 0..8 {
        let mut next = vec![];
        for (machine, world) in rim {
            for choice in world.choices(2, 3) {
                let (mut machine, mut world) = (machine.clone(), world.clone());
                go(&mut machine, &mut world, choice);
                if !world.over && seen.insert((machine.clone(), world.clone())) {
                    next.push((machine, world));
                }
            }
        }
        rim = next;
    }
    assert!(seen.len() > 10_000, "{} states", seen.len());
}

proptest! {
    #[test]
    fn whatever_happens_the_promises_hold(choices in proptest::collection::vec(any::<u16>(), 1..300)) {
        let (mut machine, mut world) = (Machine::new(2, GRACE), World::new());
        for choice in choices {
            let possible = world.choices(5, u64::MAX);
            let chosen = possible[usize::from(choice) % possible.len()];
            // Told to stop it is over soon: seldom.
            if world.over || (matches!(chosen, Choice::Stop | Choice::Renew) && choice > 2000) {
                continue;
            }
            go(&mut machine, &mut world, chosen);
            prop_assert!(world.running.len() <= 2, "more work than workers");
        }
    }
}
