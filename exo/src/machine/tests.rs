//! Stories: events, and what is done about them.

use super::*;
use air::Tag;

mod world;

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

/// What is done about these events, with a journal that can be written and without what is written there.
fn story(machine: &mut Machine, events: &[Event]) -> Vec<Action> {
    let journalled = |action: &Action| !matches!(action, Action::Keep(_) | Action::Settled(_));
    whole_story(machine, events)
        .into_iter()
        .filter(journalled)
        .filter(|a| !matches!(a, Action::Take(_)))
        .collect()
}

/// With what is written into the journal.
fn whole_story(machine: &mut Machine, events: &[Event]) -> Vec<Action> {
    let mut all = vec![];
    for event in events {
        let mut actions = machine.step(Duration::ZERO, event.clone());
        while let Some(at) = actions.iter().position(|action| matches!(action, Action::Take(_))) {
            let done: Vec<_> = actions.drain(..=at).collect();
            let Some(Action::Take(id)) = done.last() else { unreachable!() };
            let mut next = machine.step(Duration::ZERO, Event::Taken(*id));
            all.extend(done);
            next.append(&mut actions);
            actions = next;
        }
        all.append(&mut actions);
    }
    all
}

#[test]
fn the_journal_knows_before_the_handler_starts_before_the_reply_is_sent_and_after_the_acknowledgement() {
    let mut m = Machine::new(1, GRACE);
    let t = tag(1, 1);
    let actions =
        whole_story(&mut m, &[Event::Connected, handle(1, t, 1), Event::Replied(1), Event::Confirmed(1)]);
    assert_eq!(
        actions,
        [
            Action::Take(1),
            Action::Start(1),
            Action::Keep(1),
            Action::Publish(1),
            Action::Ack(t),
            Action::Settled(1),
            Action::Drop(1)
        ]
    );
    let actions = whole_story(&mut m, &[handle(2, t, 2), Event::Forgotten(2)]);
    assert_eq!(
        actions,
        [
            Action::Take(2),
            Action::Start(2),
            Action::Keep(2),
            Action::Ack(t),
            Action::Settled(2),
            Action::Drop(2)
        ]
    );
}

#[test]
fn what_cannot_be_journalled_is_not_started_and_nothing_is_taken_until_it_can() {
    let mut m = Machine::new(1, GRACE);
    let _ = m.step(Duration::ZERO, Event::Connected);
    assert_eq!(m.step(Duration::ZERO, handle(1, tag(1, 1), 1)), [Action::Take(1)]);
    let actions = m.step(Duration::ZERO, Event::NotTaken(1));
    assert_eq!(actions, [Action::StopConsuming, Action::GiveBack(tag(1, 1)), Action::Drop(1)]);
    let late = m.step(Duration::ZERO, handle(2, tag(1, 2), 2));
    assert_eq!(late, [Action::GiveBack(tag(1, 2)), Action::Drop(2)], "what was on its way goes back");
    let first = m.deadline().unwrap();
    assert_eq!(m.step(first, Event::Due), [Action::Probe]);
    assert_eq!(m.step(first, Event::NotWritable), []);
    let second = m.deadline().unwrap();
    assert!(second > first + FIRST_RETRY, "less and less often");
    assert_eq!(m.step(second, Event::Due), [Action::Probe]);
    assert_eq!(m.step(second, Event::Writable), [Action::Consume]);
    assert_eq!(m.step(second, handle(3, tag(1, 3), 3)), [Action::Take(3)]);
}

#[test]
fn what_may_have_ended_a_process_before_runs_alone() {
    let alone = |id, k| Event::Delivered { id, tag: tag(1, id), ask: Ask::Alone(key(k)) };
    let mut m = Machine::new(3, GRACE);
    let events =
        [Event::Connected, handle(1, tag(1, 1), 1), alone(2, 2), alone(3, 3), handle(4, tag(1, 4), 4)];
    assert_eq!(story(&mut m, &events), [Action::Start(1)]);
    let done = |m: &mut Machine, id| story(m, &[Event::Replied(id)]).last().cloned();
    assert_eq!(done(&mut m, 1), Some(Action::Start(2)));
    assert_eq!(done(&mut m, 2), Some(Action::Start(3)));
    assert_eq!(done(&mut m, 3), Some(Action::Start(4)));
}

#[test]
fn what_cannot_be_parked_is_not_acknowledged_and_tried_again() {
    let mut m = Machine::new(1, GRACE);
    let park = Event::Delivered { id: 1, tag: tag(1, 1), ask: Ask::Park };
    assert_eq!(story(&mut m, &[Event::Connected, park]), []);
    let at = m.deadline().unwrap();
    assert_eq!(m.step(at, Event::Due), [Action::Park(1)]);
    assert_eq!(m.step(at, Event::NotParked(1)), []);
    let at = m.deadline().unwrap();
    assert_eq!(m.step(at, Event::Due), [Action::Park(1)]);
    assert_eq!(m.step(at, Event::Parked(1)), [Action::Ack(tag(1, 1)), Action::Drop(1)]);
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
fn for_a_new_process_what_runs_is_waited_for_before_the_grace_begins_unless_we_are_told_to_stop() {
    let patience = Duration::from_secs(1800);
    let begin = |events: &[Event]| {
        let mut m = Machine::new(1, GRACE);
        let _ = story(&mut m, &[Event::Connected, handle(1, tag(1, 1), 1)]);
        let actions = story(&mut m, events);
        (m, actions)
    };
    let (mut m, actions) = begin(&[Event::Renew(patience)]);
    assert_eq!(actions, [Action::StopConsuming]);
    assert_eq!(story(&mut m, &[handle(2, tag(1, 2), 2)]), [Action::GiveBack(tag(1, 2)), Action::Drop(2)]);
    assert_eq!(m.deadline(), Some(patience + GRACE - ABOUT_TO_DIE));
    let (m, actions) = begin(&[Event::Renew(patience), Event::Stop]);
    assert_eq!((actions, m.deadline()), (vec![Action::StopConsuming], Some(GRACE - ABOUT_TO_DIE)));
    let (m, _) = begin(&[Event::Renew(patience), Event::Stop, Event::Stop]);
    assert_eq!(m.deadline(), Some(ABOUT_TO_DIE));
    let (m, actions) = begin(&[Event::Stop, Event::Renew(patience)]);
    assert_eq!((actions, m.deadline()), (vec![Action::StopConsuming], Some(GRACE - ABOUT_TO_DIE)));
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
    let _ = story(&mut m, &[handle(3, tag(1, 3), 3)]);
    let unwanted = story(&mut m, &[Event::Forgotten(3)]);
    assert_eq!(unwanted, [Action::Ack(tag(1, 3)), Action::Drop(3)], "nobody waits for an answer");
}
