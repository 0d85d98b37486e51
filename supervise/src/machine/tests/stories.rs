//! Single stories: what happens in which order.

use super::*;

/// Runs events (at milliseconds), with settings read and no script but ./run there, and returns all actions.
fn story(machine: Machine, events: &[(u64, Event)]) -> (Machine, Vec<Action>) {
    story_with(Rules::default(), &[Script::Run], machine, events)
}

fn story_with(
    rules: Rules,
    there: &[Script],
    mut machine: Machine,
    events: &[(u64, Event)],
) -> (Machine, Vec<Action>) {
    let mut all = vec![];
    for (at, event) in events {
        let now = Duration::from_millis(*at);
        let mut queue = VecDeque::from([*event]);
        while let Some(event) = queue.pop_front() {
            let (next, actions) = check(machine, now, event);
            machine = next;
            for action in actions {
                match action {
                    Action::Settle => queue.push_back(Event::Settled(rules)),
                    Action::Launch(script) if there.contains(&script) => {
                        queue.push_back(Event::Launched { pid: PID });
                        all.push(action);
                    }
                    Action::Launch(_) => queue.push_back(Event::Absent),
                    _ => all.push(action),
                }
            }
        }
    }
    (machine, all)
}

const UP: Event = Event::Command(Command::Up);
const DOWN: Event = Event::Command(Command::Down);
const ONCE: Event = Event::Command(Command::Once);
const RESTART: Event = Event::Command(Command::Restart);
const CRASH: Event = Event::Exited(Exit::Signal(11));
const DONE: Event = Event::Exited(Exit::Code(0));
const RUN: Action = Action::Launch(Script::Run);
const STOP: [Action; 3] =
    [Action::SendAll(Signal::SIGTERM), Action::SendAll(Signal::SIGCONT), Action::Record];

fn wanted() -> Machine {
    Machine::new(Want::Up, 1)
}

fn up(since: u64) -> State {
    State::Up { pid: PID, since: Duration::from_millis(since), paused: false, ready: false }
}

#[test]
fn a_service_that_ends_after_a_second_is_started_again_at_once() {
    let (machine, actions) = story(wanted(), &[(0, Event::Due), (1000, DONE)]);
    assert_eq!(machine.state, up(1000));
    assert_eq!(actions, [RUN, RUN]);
}

#[test]
fn a_service_that_ends_early_waits_for_the_rest_of_its_second() {
    let (machine, _) = story(wanted(), &[(0, Event::Due), (300, DONE)]);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(1)));
    let (machine, _) = story(machine, &[(999, Event::Due)]);
    assert!(matches!(machine.state, State::Backoff { .. }));
    let (machine, _) = story(machine, &[(1000, Event::Due)]);
    assert_eq!(machine.state, up(1000));
}

#[test]
fn down_within_the_second_before_a_restart_acts_at_once() {
    let (machine, actions) = story(wanted(), &[(0, Event::Due), (300, DONE), (400, DOWN)]);
    assert_eq!((machine.state, machine.want), (State::Down { failed: false }, Want::Down));
    assert_eq!(actions.last(), Some(&Action::Record));
}

#[test]
fn down_then_up_within_a_second_does_not_start_early() {
    let (machine, _) = story(wanted(), &[(0, Event::Due), (100, DOWN), (200, DONE), (300, UP)]);
    assert_eq!(machine.state, State::Backoff { until: Duration::from_secs(1) });
}

#[test]
fn once_runs_to_its_end_and_stays_down() {
    let (machine, actions) = story(Machine::new(Want::Down, 1), &[(5000, ONCE), (5100, DONE)]);
    assert_eq!((machine.state, machine.want), (State::Down { failed: false }, Want::Nothing));
    assert_eq!(actions.iter().filter(|a| **a == RUN).count(), 1);
}

#[test]
fn restart_stops_it_and_starts_it_and_is_no_crash() {
    let (machine, actions) = story(wanted(), &[(0, Event::Due), (5000, RESTART), (5100, CRASH)]);
    assert_eq!((machine.state, machine.want), (up(5100), Want::Up));
    assert_eq!(actions, [[RUN].as_slice(), &STOP, &[RUN]].concat());
}

#[test]
fn what_an_operator_asked_for_is_neither_a_failure_nor_a_start_that_nobody_asked_for() {
    const KILLED: Event = Event::Exited(Exit::Signal(9));
    let [hup, kill] = [Signal::SIGHUP, Signal::SIGKILL].map(|signal| Event::Command(Command::Signal(signal)));
    for (events, again, failures) in [
        (vec![(10, hup), (20, DONE)], false, 0),
        (vec![(10, hup), (20, CRASH)], true, 1),
        (vec![(10, Event::Command(Command::Signal(Signal::SIGUSR1))), (20, DONE)], true, 1),
        (vec![(10, kill), (20, KILLED)], false, 0),
        (vec![(10, hup), (20, KILLED)], true, 1),
        (vec![(20, KILLED)], true, 1),
        (vec![(10, kill), (20, CRASH)], true, 1),
        (vec![(10, RESTART), (20, CRASH)], false, 0),
        (vec![(10, DONE)], true, 1),
        (vec![(10, hup), (20, DONE), (1000, Event::Due), (1100, DONE)], true, 1),
    ] {
        let events = [vec![(0, Event::Due)], events].concat();
        let (machine, _) = story(wanted(), &events);
        assert_eq!((machine.again, machine.failures), (again, failures), "{events:?}");
    }
}

#[test]
fn exit_waits_for_the_child_and_cannot_be_taken_back() {
    let exit = Event::Command(Command::Exit);
    let (machine, actions) = story(wanted(), &[(0, Event::Due), (10, exit), (20, UP)]);
    assert!(!actions.contains(&Action::Quit));
    let (_, actions) = story(machine, &[(9000, DONE)]);
    assert_eq!(actions, [Action::Record, Action::Quit]);
}

#[test]
fn down_wakes_a_paused_child() {
    let pause = Event::Command(Command::Pause);
    let (machine, actions) = story(wanted(), &[(0, Event::Due), (10, pause), (20, DOWN)]);
    assert_eq!(machine.state, State::Stopping { pid: PID, paused: false, kill_at: None });
    assert!(actions.ends_with(&STOP));
}

#[test]
fn what_does_not_stop_in_its_grace_is_killed_once() {
    let (machine, actions) = story_with(
        rules(true),
        &[Script::Run],
        wanted(),
        &[
            (0, Event::Due),
            (5000, DOWN),
            (5100, DOWN),
            (5499, Event::Due),
            (5500, Event::Due),
            (9000, Event::Due),
        ],
    );
    assert_eq!(actions.iter().filter(|a| **a == Action::Kill).count(), 1);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn start_runs_once_before_run_and_finish_after_each() {
    let all = [Script::Start, Script::Run, Script::Finish];
    let (machine, actions) = story_with(
        rules(false),
        &all,
        wanted(),
        &[(0, Event::Due), (100, DONE), (5000, CRASH), (5100, DONE)],
    );
    assert_eq!(machine.state, up(5100));
    let launches: Vec<_> = actions.into_iter().filter(|a| matches!(a, Action::Launch(_))).collect();
    assert_eq!(launches, [Script::Start, Script::Run, Script::Finish, Script::Run].map(Action::Launch));
}

#[test]
fn a_start_that_fails_and_a_finish_that_says_so_mean_failed_for_good() {
    for (there, events) in [
        (vec![Script::Start, Script::Run], vec![(0, Event::Due), (100, CRASH)]),
        (
            vec![Script::Run, Script::Finish],
            vec![(0, Event::Due), (5000, CRASH), (5100, Event::Exited(Exit::Code(125)))],
        ),
    ] {
        let (machine, actions) = story_with(rules(false), &there, wanted(), &events);
        assert_eq!((machine.state, machine.want), (State::Down { failed: true }, Want::Nothing));
        assert_eq!(actions.last(), Some(&Action::Tell(Trouble::Failed)));
    }
}

#[test]
fn done_and_permanent_exit_codes_keep_it_down() {
    for (code, failed) in [(3, false), (4, true)] {
        let events = [(0, Event::Due), (5000, Event::Exited(Exit::Code(code)))];
        let (machine, _) = story_with(rules(true), &[Script::Run], wanted(), &events);
        assert_eq!((machine.state, machine.want), (State::Down { failed }, Want::Nothing));
    }
}

#[test]
fn an_incident_is_told_once_each_and_ends_with_recovered() {
    let events = [
        (0, Event::Due),
        (100, CRASH),
        (1000, Event::Due),
        (1100, CRASH),
        (3000, Event::Due),
        (3100, CRASH),
        (9000, Event::Due),
        (10_000, Event::Due),
        (11_000, Event::Due),
        (12_000, Event::Due),
    ];
    let (_, actions) = story_with(rules(true), &[Script::Run], wanted(), &events);
    let told: Vec<_> =
        actions.into_iter().filter_map(|a| if let Action::Tell(t) = a { Some(t) } else { None }).collect();
    assert_eq!(told, [Trouble::Crash, Trouble::Backoff, Trouble::Recovered]);
}

#[test]
fn ends_that_people_and_systems_cause_are_no_crash() {
    for exit in [Exit::Code(0), Exit::Signal(15), Exit::Signal(1), Exit::Signal(2), Exit::Signal(13)] {
        let (_, actions) = story(wanted(), &[(0, Event::Due), (5000, Event::Exited(exit))]);
        assert!(!actions.contains(&Action::Tell(Trouble::Crash)), "{exit:?}");
    }
}

#[test]
fn an_operator_does_not_wait_for_the_whole_of_a_long_backoff() {
    let mut slow = rules(false);
    slow.backoff.first = Duration::from_secs(300);
    slow.backoff.max = slow.backoff.first;
    let (machine, _) = story_with(slow, &[Script::Run], wanted(), &[(0, Event::Due), (100, CRASH)]);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(300)));
    let (machine, _) = story_with(slow, &[Script::Run], machine, &[(5000, UP)]);
    assert_eq!(machine.state, up(5000));
}
