//! Stories as tables, and random sequences of events against the promises.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const GRACE: Duration = Duration::from_secs(60);

fn key(n: u8) -> Key {
    (format!("0_0!s!w{n}"), [n; 32])
}

fn tag(epoch: u32, number: u64) -> Tag {
    Tag { epoch, number }
}

fn handle(id: Id, t: Tag, k: u8) -> Event {
    Event::Delivered { id, tag: t, ask: Ask::Handle(key(k)) }
}

fn story(machine: &mut Machine, events: &[Event]) -> Vec<Action> {
    events.iter().flat_map(|event| machine.step(Duration::ZERO, event.clone())).collect()
}

#[test]
fn a_delivery_is_acknowledged_only_after_its_reply_is_confirmed() {
    let mut m = Machine::new(1, GRACE);
    let t = tag(1, 1);
    assert_eq!(story(&mut m, &[Event::Connected, handle(1, t, 1)]), [Action::Start(1)]);
    assert_eq!(story(&mut m, &[Event::Replied(1)]), [Action::Publish(1)]);
    assert_eq!(story(&mut m, &[Event::Confirmed(1)]), [Action::Ack(t), Action::Drop(1)]);
}

#[test]
fn a_workitem_that_runs_while_the_broker_goes_is_adopted_and_not_run_twice() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Lost, Event::Connected]);
    assert_eq!(story(&mut m, &[handle(2, tag(2, 1), 1)]), [Action::Drop(2)]);
    assert_eq!(story(&mut m, &[Event::Replied(1)]), [Action::Publish(1)]);
    assert_eq!(story(&mut m, &[Event::Confirmed(1)]), [Action::Ack(tag(2, 1)), Action::Drop(1)]);
}

#[test]
fn a_reply_that_is_ready_while_the_broker_is_away_is_published_after_the_reconnection() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Lost]);
    assert_eq!(story(&mut m, &[Event::Replied(1)]), []);
    assert_eq!(story(&mut m, &[Event::Connected]), [Action::Publish(1)]);
    assert_eq!(story(&mut m, &[Event::Confirmed(1)]), []);
    assert_eq!(
        story(&mut m, &[handle(2, tag(2, 1), 1)]),
        [Action::Drop(2), Action::Ack(tag(2, 1)), Action::Drop(1)]
    );
}

#[test]
fn the_same_fei_with_another_body_is_new_work() {
    let mut m = Machine::new(2, GRACE);
    let redo = Event::Delivered { id: 2, tag: tag(1, 2), ask: Ask::Handle((key(1).0, [9; 32])) };
    let actions = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), redo]);
    assert_eq!(actions, [Action::Start(1), Action::Start(2)]);
}

#[test]
fn a_refused_reply_is_published_again_later_and_not_acknowledged() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Replied(1)]);
    assert_eq!(story(&mut m, &[Event::Refused(1)]), []);
    assert_eq!(m.deadline(), Some(FIRST_RETRY));
    assert_eq!(m.step(FIRST_RETRY, Event::Due), [Action::Publish(1)]);
}

#[test]
fn stopping_gives_back_what_was_not_started_and_lets_finish_what_runs() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), handle(2, tag(1, 2), 2)]);
    let actions = story(&mut m, &[Event::Stop]);
    assert_eq!(actions, [Action::StopConsuming, Action::GiveBack(tag(1, 2)), Action::Drop(2)]);
    assert_eq!(story(&mut m, &[handle(3, tag(1, 3), 3)]), [Action::GiveBack(tag(1, 3)), Action::Drop(3)]);
    assert_eq!(story(&mut m, &[Event::Replied(1)]), [Action::Publish(1)]);
    let actions = story(&mut m, &[Event::Confirmed(1)]);
    assert_eq!(actions, [Action::Ack(tag(1, 1)), Action::Drop(1), Action::Finish]);
}

#[test]
fn about_to_die_comes_five_seconds_before_the_end_and_then_the_work_goes_back() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Stop]);
    assert_eq!(m.deadline(), Some(GRACE - ABOUT_TO_DIE));
    assert_eq!(m.step(GRACE - ABOUT_TO_DIE, Event::Due), [Action::Die]);
    assert_eq!(m.deadline(), Some(GRACE));
    let actions = m.step(GRACE, Event::Due);
    assert_eq!(actions, [Action::GiveBack(tag(1, 1)), Action::Drop(1), Action::Finish]);
}

#[test]
fn a_second_stop_shortens_the_grace_to_five_seconds() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Stop]);
    assert_eq!(story(&mut m, &[Event::Stop]), [Action::Die]);
    assert_eq!(m.deadline(), Some(ABOUT_TO_DIE));
}

#[test]
fn stopping_while_the_broker_is_away_and_nothing_runs_finishes_at_once() {
    let mut m = Machine::new(1, GRACE);
    assert_eq!(story(&mut m, &[Event::Stop]), [Action::StopConsuming, Action::Finish]);
}

#[test]
fn a_consumer_that_is_opened_again_leaves_replies_alone_and_adopts_what_runs() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), Event::Replied(1)]);
    let _ = story(&mut m, &[handle(2, tag(1, 2), 2), handle(3, tag(1, 3), 3)]);
    assert_eq!(story(&mut m, &[Event::Reopened]), [Action::Drop(3)], "what waits is the broker's again");
    assert_eq!(
        story(&mut m, &[handle(4, tag(2, 1), 1), handle(5, tag(2, 2), 2)]),
        [Action::Drop(4), Action::Drop(5)]
    );
    assert_eq!(story(&mut m, &[Event::Confirmed(1)]), [Action::Ack(tag(2, 1)), Action::Drop(1)]);
}

#[test]
fn a_workitem_that_is_cancelled_while_it_waits_is_answered_without_being_started() {
    let mut m = Machine::new(1, GRACE);
    let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1), handle(2, tag(1, 2), 2)]);
    assert_eq!(story(&mut m, &[Event::Cancelled(2)]), [Action::Publish(2)]);
    assert_eq!(story(&mut m, &[Event::Confirmed(2)]), [Action::Ack(tag(1, 2)), Action::Drop(2)]);
    assert_eq!(story(&mut m, &[Event::Cancelled(1)]), [], "what runs is answered when it ends");
}

/// A broker and handlers that do what the machine asks, in whatever order chance has it.
#[derive(Default)]
struct World {
    connected: bool,
    epoch: u32,
    next: u64,
    unsettled: BTreeMap<Tag, u8>,
    settled: BTreeSet<Tag>,
    running: BTreeSet<Id>,
    sending: BTreeSet<Id>,
    confirmed: BTreeSet<u8>,
    keys: BTreeMap<Id, u8>,
    runs: BTreeMap<u8, u32>,
    draining: bool,
}

impl World {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(id) => {
                    assert!(!self.draining, "nothing is started while draining");
                    assert!(self.running.insert(id), "started twice");
                    *self.runs.entry(self.keys[&id]).or_default() += 1;
                }
                Action::Publish(id) => {
                    assert!(self.connected, "published without a broker");
                    self.sending.insert(id);
                }
                Action::Ack(t) => {
                    let k = self.unsettled.remove(&t).expect("acknowledged what is not ours");
                    assert!(self.settled.insert(t), "settled twice");
                    assert!(self.confirmed.contains(&k), "acknowledged before the reply was confirmed");
                }
                Action::GiveBack(t) => {
                    assert!(self.unsettled.remove(&t).is_some(), "gave back what is not ours");
                    assert!(self.settled.insert(t), "settled twice");
                }
                Action::StopConsuming => self.draining = true,
                Action::Drop(_) | Action::Die | Action::Finish => {}
            }
        }
    }

    fn choose(&mut self, choice: u8, key_number: u8) -> Option<Event> {
        match choice % 8 {
            0 if !self.connected => {
                self.connected = true;
                self.epoch += 1;
                Some(Event::Connected)
            }
            1 if self.connected => {
                self.connected = false;
                self.unsettled.clear();
                self.sending.clear();
                Some(Event::Lost)
            }
            2 | 3 if self.connected => {
                let k = key_number % 5;
                // The broker delivers a message to one consumer at a time.
                if self.unsettled.values().any(|other| *other == k) {
                    return None;
                }
                self.next += 1;
                let t = tag(self.epoch, self.next);
                self.unsettled.insert(t, k);
                self.keys.insert(self.next, k);
                Some(handle(self.next, t, k))
            }
            4 => self.running.pop_first().map(Event::Replied),
            5 | 6 => {
                let id = self.sending.pop_first()?;
                self.confirmed.insert(self.keys[&id]);
                Some(Event::Confirmed(id))
            }
            7 => Some(if key_number == 0 { Event::Stop } else { Event::Refused(self.sending.pop_first()?) }),
            _ => None,
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_promises_hold(choices in proptest::collection::vec((any::<u8>(), 0..40u8), 1..200)) {
        let (mut machine, mut world) = (Machine::new(2, GRACE), World::default());
        for (choice, key_number) in choices {
            if let Some(event) = world.choose(choice, key_number) {
                let actions = machine.step(Duration::ZERO, event);
                world.perform(actions);
            }
            prop_assert!(world.running.len() <= 2, "more work than workers");
        }
    }
}
