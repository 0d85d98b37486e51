//! The table of transitions in docs/reference/supervise.md, made by the machine itself.

use super::*;

/// Late enough that no start is early, and early enough that no deadline has come.
const NOW: Moment = Duration::from_secs(100);

fn rows() -> Vec<(&'static str, Machine)> {
    let mut up = Machine::new(Want::Up, 1);
    up.last_start = Some(Duration::from_secs(90));
    up.prepared = true;
    let later = Some(Duration::from_secs(110));
    let machine = |state, want| Machine { state, want, ..up };
    let since = Duration::from_secs(99);
    let finishing =
        State::Finishing { script: Script::Finish, pid: Some(PID), kill_at: later, then: Then::AsWanted };
    vec![
        ("Down", Machine { prepared: false, ..machine(State::Down { failed: false }, Want::Down) }),
        ("Backoff", machine(State::Backoff { until: NOW }, Want::Up)),
        ("Starting: settings", machine(State::Starting(Stage::Settings), Want::Up)),
        (
            "Starting: ./start",
            machine(State::Starting(Stage::Preparing { pid: Some(PID), kill_at: None }), Want::Up),
        ),
        ("Up", machine(State::Up { pid: PID, since, paused: false, ready: false }, Want::Up)),
        (
            "Stopping, wanted down",
            machine(State::Stopping { pid: PID, paused: false, kill_at: Some(NOW) }, Want::Down),
        ),
        (
            "Stopping, wanted up",
            machine(State::Stopping { pid: PID, paused: false, kill_at: Some(NOW) }, Want::Up),
        ),
        ("Finishing, wanted up", machine(finishing, Want::Up)),
    ]
}

fn columns() -> Vec<(&'static str, Event)> {
    vec![
        ("u", Event::Command(Command::Up)),
        ("d", Event::Command(Command::Down)),
        ("o", Event::Command(Command::Once)),
        ("O", Event::Command(Command::AtMostOnce)),
        ("r", Event::Command(Command::Restart)),
        ("p", Event::Command(Command::Pause)),
        ("t", Event::Command(Command::Signal(Signal::SIGTERM))),
        ("x", Event::Command(Command::Exit)),
        ("ended with 0", Event::Exited(Exit::Code(0))),
        ("ended with 1", Event::Exited(Exit::Code(1))),
        ("deadline", Event::Due),
    ]
}

fn name(machine: Machine) -> &'static str {
    match machine.state {
        State::Down { failed: false } => "Down",
        State::Down { failed: true } => "Failed",
        State::Backoff { .. } => "Backoff",
        State::Starting(_) => "Starting",
        State::Up { .. } => "Up",
        State::Stopping { .. } => "Stopping",
        State::Finishing { .. } => "Finishing",
    }
}

fn word(action: Action) -> Option<String> {
    Some(match action {
        Action::Settle => "read settings".into(),
        Action::Launch(script) => format!("launch ./{}", format!("{script:?}").to_lowercase()),
        Action::Record => return None,
        Action::Send(signal) | Action::SendAll(signal) => signal.as_str()[3..].into(),
        Action::Kill => "KILL".into(),
        Action::Tell(trouble) => format!("tell {}", format!("{trouble:?}").to_lowercase()),
        Action::Quit => "exit".into(),
    })
}

fn table() -> String {
    let mut out = String::from("| state | event | becomes | what is done |\n|---|---|---|---|\n");
    for (state, machine) in rows() {
        for (event, what) in columns() {
            let (after, actions) = check(machine, NOW, what);
            let done: Vec<_> = actions.into_iter().filter_map(word).collect();
            if after == machine && done.is_empty() {
                continue;
            }
            out += &format!("| {state} | {event} | {} | {} |\n", name(after), done.join(", "));
        }
    }
    out
}

#[test]
fn the_manual_has_the_table_of_transitions() {
    let manual = include_str!("../../../../docs/reference/supervise.md");
    assert!(manual.contains(&table()), "put this into docs/reference/supervise.md:\n{}", table());
}
