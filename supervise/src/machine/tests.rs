//! Every reachable state with every event, and single stories as tables.

use super::*;
use servicedir::control::TABLE;
use std::collections::{HashSet, VecDeque};

const PID: i32 = 7;
/// Two steps of the clock make [`SPACING`].
const STEP: Duration = Duration::from_millis(500);

fn events() -> Vec<Event> {
    let letters = TABLE.iter().map(|row| Event::Command(row.command));
    let others = [Event::Started { pid: PID }, Event::NotStarted, Event::Exited, Event::Due];
    letters.chain(others).collect()
}

/// Checks one transition against everything that must always hold.
fn check(before: Machine, now: Moment, event: Event) -> (Machine, Vec<Action>) {
    let (after, actions) = before.step(now, event);
    let context = format!("{before:?} at {now:?} + {event:?} -> {after:?} {actions:?}");
    let starts = actions.iter().filter(|a| **a == Action::Start).count();
    let has_child = |m: Machine| matches!(m.state, State::Starting | State::Up { .. });

    if starts > 0 {
        assert_eq!(starts, 1, "never two children: {context}");
        assert!(
            !has_child(before) || event == Event::Exited,
            "a start only when there is no child: {context}"
        );
        assert_eq!(after.state, State::Starting, "{context}");
        assert!(
            before.last_start.is_none_or(|last| now >= last + SPACING),
            "a start is never early: {context}"
        );
        assert!(!before.leaving, "nothing is started when leaving: {context}");
    }
    if actions.iter().any(|a| matches!(a, Action::Send(_))) {
        assert!(matches!(after.state, State::Up { .. }), "only our child is signalled: {context}");
    }
    if let Some(at) = actions.iter().position(|a| *a == Action::Release) {
        assert_eq!(actions[at - 1], Action::Record, "on record before it runs: {context}");
    }
    if actions.contains(&Action::Quit) {
        assert!(!has_child(after) && after.leaving, "quits only without a child: {context}");
        assert_eq!(actions.last(), Some(&Action::Quit), "{context}");
    } else if after.leaving {
        assert!(has_child(after), "leaving and without a child means quitting: {context}");
    }
    if after.want == Want::Up && !actions.contains(&Action::Quit) {
        assert_ne!(after.state, State::Down, "a wanted service is never forgotten: {context}");
    }
    if after.want == Want::Down {
        assert!(!matches!(after.state, State::Backoff { .. }), "a letter acts during backoff: {context}");
    }
    if let (Some(deadline), Event::Due) = (after.deadline(), event) {
        assert!(deadline > now, "a deadline never spins: {context}");
    }
    (after, actions)
}

/// States are told apart by how far their times lie from now, not by the times themselves.
fn relative(m: Machine, now: Moment) -> (State, Want, bool, Option<Duration>) {
    let recent = |t: Moment| now.saturating_sub(t).min(SPACING);
    let state = match m.state {
        State::Backoff { until } => State::Backoff { until: until.saturating_sub(now) },
        other => other,
    };
    (state, m.want, m.leaving, m.last_start.map(recent))
}

#[test]
fn every_reachable_state_with_every_event_keeps_the_promises() {
    let first = Duration::from_secs(100);
    let adopted = [Want::Up, Want::Down, Want::Nothing].map(|w| Machine::adopting(PID, true, w));
    let starts = [Machine::new(false), Machine::new(true)].into_iter().chain(adopted);
    let mut queue: VecDeque<_> = starts.map(|m| (m, first)).collect();
    let mut seen = HashSet::new();
    while let Some((machine, now)) = queue.pop_front() {
        if !seen.insert(relative(machine, now)) {
            continue;
        }
        // Time passes only up to the deadline: the loop reports it when it comes.
        let later = now + STEP;
        if machine.deadline().is_none_or(|d| later <= d) {
            queue.push_back((machine, later));
        }
        for event in events() {
            let (after, actions) = check(machine, now, event);
            if !actions.contains(&Action::Quit) {
                queue.push_back((after, now));
            }
        }
    }
    assert!(seen.len() > 30, "the walk saw only {} states", seen.len());
}

/// Runs events (at milliseconds) and returns all actions.
fn story(mut machine: Machine, events: &[(u64, Event)]) -> (Machine, Vec<Action>) {
    let mut all = vec![];
    for (at, event) in events {
        let (next, actions) = check(machine, Duration::from_millis(*at), *event);
        machine = next;
        all.extend(actions);
    }
    (machine, all)
}

const UP: Event = Event::Command(Command::Up);
const DOWN: Event = Event::Command(Command::Down);
const ONCE: Event = Event::Command(Command::Once);
const STARTED: Event = Event::Started { pid: PID };

#[test]
fn a_service_that_ends_after_a_second_is_started_again_at_once() {
    let (machine, actions) =
        story(Machine::new(false), &[(0, Event::Due), (0, STARTED), (1000, Event::Exited)]);
    assert_eq!(machine.state, State::Starting);
    assert_eq!(actions, [Action::Start, Action::Record, Action::Release, Action::Start]);
}

#[test]
fn a_service_that_ends_early_waits_for_the_rest_of_its_second() {
    let (machine, _) = story(Machine::new(false), &[(0, Event::Due), (0, STARTED), (300, Event::Exited)]);
    assert_eq!(machine.deadline(), Some(SPACING));
    let (machine, _) = story(machine, &[(999, Event::Due)]);
    assert_eq!(machine.state, State::Backoff { until: SPACING });
    let (machine, _) = story(machine, &[(1000, Event::Due)]);
    assert_eq!(machine.state, State::Starting);
}

#[test]
fn down_within_the_second_before_a_restart_acts_at_once() {
    let (machine, actions) =
        story(Machine::new(false), &[(0, Event::Due), (0, STARTED), (300, Event::Exited), (400, DOWN)]);
    assert_eq!((machine.state, machine.want), (State::Down, Want::Down));
    assert_eq!(actions.last(), Some(&Action::Record));
}

#[test]
fn down_then_up_within_a_second_does_not_start_early() {
    let early = [(0, Event::Due), (0, STARTED), (100, DOWN), (200, Event::Exited), (300, UP)];
    let (machine, _) = story(Machine::new(false), &early);
    assert_eq!(machine.state, State::Backoff { until: SPACING });
}

#[test]
fn once_runs_to_its_end_and_stays_down() {
    let (machine, actions) =
        story(Machine::new(true), &[(5000, ONCE), (5000, STARTED), (5100, Event::Exited)]);
    assert_eq!((machine.state, machine.want), (State::Down, Want::Nothing));
    assert_eq!(actions.iter().filter(|a| **a == Action::Start).count(), 1);
}

#[test]
fn a_start_that_fails_is_tried_again_after_a_second() {
    let (machine, _) = story(Machine::new(false), &[(0, Event::Due), (0, Event::NotStarted)]);
    assert_eq!(machine.state, State::Backoff { until: SPACING });
}

#[test]
fn exit_waits_for_the_child_and_cannot_be_taken_back() {
    let exit = Event::Command(Command::Exit);
    let (machine, actions) =
        story(Machine::new(false), &[(0, Event::Due), (0, STARTED), (10, exit), (20, UP)]);
    assert!(!actions.contains(&Action::Quit));
    let (_, actions) = story(machine, &[(9000, Event::Exited)]);
    assert_eq!(actions, [Action::Record, Action::Quit]);
}

#[test]
fn down_wakes_a_paused_child() {
    let pause = Event::Command(Command::Pause);
    let (machine, actions) =
        story(Machine::new(false), &[(0, Event::Due), (0, STARTED), (10, pause), (20, DOWN)]);
    assert_eq!(machine.state, State::Up { pid: PID, paused: false });
    assert!(actions.ends_with(&[STOP[0], STOP[1], Action::Record]));
}
