//! Every reachable state with every event.

use super::*;
use servicedir::control::TABLE;
use std::collections::{HashSet, VecDeque};

const PID: i32 = 7;
/// Two steps of the clock make a second.
const STEP: Duration = Duration::from_millis(500);

fn rules(full: bool) -> Rules {
    let mut rules = Rules::default();
    if full {
        rules.stop.grace = Some(STEP);
        rules.finish_limit = Some(STEP);
        rules.backoff.factor = 2000;
        rules.backoff.max = Duration::from_secs(2);
        rules.backoff.reset = Duration::from_secs(2);
        rules.done.add(3);
        rules.permanent.add(4);
    }
    rules
}

fn events() -> Vec<Event> {
    let letters = TABLE.iter().map(|row| Event::Command(row.command));
    let exits = [
        Exit::Code(0),
        Exit::Code(1),
        Exit::Code(3),
        Exit::Code(4),
        Exit::Code(100),
        Exit::Signal(9),
        Exit::Signal(15),
        Exit::Unknown,
    ];
    let others = [
        Event::Settled(rules(false)),
        Event::Settled(rules(true)),
        Event::Launched { pid: PID },
        Event::NotLaunched,
        Event::Absent,
        Event::Ready,
        Event::Due,
    ];
    letters.chain(exits.map(Event::Exited)).chain(others).collect()
}

fn has_or_gets_child(m: Machine) -> bool {
    !matches!(m.state, State::Down { .. } | State::Backoff { .. } | State::Starting(Stage::Settings))
}

/// Checks one transition against everything that must always hold.
fn check(before: Machine, now: Moment, event: Event) -> (Machine, Vec<Action>) {
    let (after, actions) = before.step(now, event);
    let actions: Vec<Action> = actions.into_iter().collect();
    let context = || format!("{before:?} at {now:?} + {event:?} -> {after:?} {actions:?}");

    let launches = actions.iter().filter(|a| matches!(a, Action::Launch(_))).count();
    if launches > 0 {
        let over = matches!(event, Event::Exited(_) | Event::Absent);
        assert_eq!(launches, 1, "never two children: {}", context());
        assert!(before.pid().is_none() || over, "a launch only when there is no child: {}", context());
        assert!(after.pid().is_none() && has_or_gets_child(after), "{}", context());
    }
    if actions.contains(&Action::Settle) {
        assert_eq!(after.state, State::Starting(Stage::Settings), "{}", context());
        assert!(!has_or_gets_child(before) || before.pid().is_none() || matches!(event, Event::Exited(_)));
        let early = before.last_start.is_some_and(|last| now < last + before.rules.spacing());
        assert!(!early, "a start is never early: {}", context());
        assert!(!before.leaving, "nothing is started when leaving: {}", context());
    }
    if matches!(after.state, State::Starting(Stage::Settings)) {
        assert!(actions.contains(&Action::Settle) || before.state == after.state, "{}", context());
    }
    let signals = actions.iter().any(|a| matches!(a, Action::Send(_) | Action::SendAll(_) | Action::Kill));
    if signals {
        assert!(after.pid().is_some(), "nothing is signalled that is not our child: {}", context());
    }
    if let Event::Command(Command::Signal(_) | Command::Pause | Command::Continue) = event {
        assert_eq!(
            signals,
            before.pid().is_some()
                && !matches!(before.state, State::Finishing { .. })
                && (!matches!(event, Event::Command(Command::Pause | Command::Continue))
                    || before.pid_of_service().is_some()),
            "a letter acts at once: {}",
            context()
        );
    }
    if actions.contains(&Action::Quit) {
        assert!(!has_or_gets_child(after) && after.leaving, "quits only without a child: {}", context());
        assert_eq!(actions.last(), Some(&Action::Quit), "{}", context());
    } else if after.leaving {
        assert!(has_or_gets_child(after), "leaving and without a child means quitting: {}", context());
    }
    if after.want == Want::Up && !actions.contains(&Action::Quit) {
        assert!(
            !matches!(after.state, State::Down { .. }),
            "a wanted service is never forgotten: {}",
            context()
        );
    }
    if after.want == Want::Down {
        let waits = matches!(after.state, State::Backoff { .. } | State::Starting(Stage::Settings));
        assert!(!waits, "a letter acts during backoff: {}", context());
        assert!(!matches!(after.state, State::Up { .. }), "what is to be down was told so: {}", context());
    }
    if let (Some(deadline), Event::Due) = (after.deadline(), event) {
        assert!(deadline > now, "a deadline never spins: {}", context());
    }
    (after, actions)
}

/// What tells states apart: how far their times lie from now, not the times themselves.
type Kind = (State, Want, bool, u32, bool, (Trouble, bool, bool, Option<Duration>));

fn relative(m: Machine, now: Moment) -> Kind {
    let left = |t: Moment| t.saturating_sub(now);
    let past = |t: Moment| now.saturating_sub(t).min(Duration::from_secs(2));
    let mut state = m.state;
    match &mut state {
        State::Backoff { until } => *until = left(*until),
        State::Up { since, .. } => *since = past(*since),
        State::Stopping { kill_at, .. }
        | State::Finishing { kill_at, .. }
        | State::Starting(Stage::Preparing { kill_at, .. }) => *kill_at = kill_at.map(left),
        State::Down { .. } | State::Starting(_) => {}
    }
    let full = m.rules.stop.grace.is_some();
    let more = (m.told, m.unwell, m.prepared, m.last_start.map(past));
    (state, m.want, m.leaving, m.failures.min(2), full, more)
}

#[test]
fn every_reachable_state_with_every_event_keeps_the_promises() {
    let first = Duration::from_secs(100);
    let wants = [Want::Up, Want::Down, Want::Nothing];
    let states = [
        State::Up { pid: PID, since: first, paused: true, ready: false },
        State::Stopping { pid: PID, paused: true, kill_at: None },
        State::Finishing { script: Script::Finish, pid: Some(PID), kill_at: None, then: Then::AsWanted },
        State::Starting(Stage::Preparing { pid: Some(PID), kill_at: None }),
    ];
    let adopted = states.iter().flat_map(|state| wants.map(|want| Machine::adopting(*state, want, first, 1)));
    // An Up that is wanted down cannot be: it would have been told so.
    let adopted = adopted.filter(|m| !(m.want == Want::Down && matches!(m.state, State::Up { .. })));
    let mut queue: VecDeque<_> =
        wants.map(|want| Machine::new(want, 1)).into_iter().chain(adopted).map(|m| (m, first)).collect();
    let mut seen = HashSet::new();
    let events = events();
    while let Some((machine, now)) = queue.pop_front() {
        if !seen.insert(relative(machine, now)) {
            continue;
        }
        // Time passes only up to the deadline: the loop reports it when it comes.
        let later = now + STEP;
        if machine.deadline().is_none_or(|d| later <= d) {
            queue.push_back((machine, later));
        }
        for event in &events {
            let (after, actions) = check(machine, now, *event);
            if !actions.contains(&Action::Quit) {
                queue.push_back((after, now));
            }
        }
    }
    println!("{} states", seen.len());
    assert!(seen.len() > 1000, "the walk saw only {} states", seen.len());
}

mod stories;

mod manual;
mod sequences;
