//! The tables in docs/reference/multilog.md are made from the machine itself: this fails when they differ.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use multilog::machine::{Action, Again, Current, Event, Rule, State, Step, WINDOW, Waiting};
use std::fmt::Write;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const RULE: Rule = Rule { size: 10_000, window: WINDOW, processed: false };
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/multilog.md");

#[test]
fn the_tables_of_the_page_are_those_of_the_machine() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    for (name, table) in [("open", open()), ("steps", steps()), ("retry", retry())] {
        let (begin, end) =
            (format!("<!-- {name}: made from multilog/src/machine.rs -->\n\n"), "\n<!-- end -->");
        let there =
            page.split_once(&begin).and_then(|(_, rest)| rest.split_once(end)).map(|(table, _)| table);
        assert_eq!(there, Some(table.as_str()), "put this into the page:\n{begin}{table}{end}");
    }
}

/// While `current` takes lines.
fn open() -> String {
    let at = |size, at_line_end| State::Open(Current { size, at_line_end, alarmed: false });
    let waits =
        |len, line_end: &'static dyn Fn(usize) -> Option<usize>| Event::Lines(Waiting { len, line_end });
    let rows: [(&str, State, Event<'_>); 15] = [
        ("lines that fit", at(0, true), waits(500, &|_| Some(500))),
        (
            "more than fits, a line end in the last 2000 bytes",
            at(0, true),
            waits(20_000, &|n| Some(n - 1500)),
        ),
        (
            "what fits but ends within a line, a line end in the last 2000 bytes",
            at(0, true),
            waits(9_500, &|n| Some(n - 500)),
        ),
        ("more than fits, no line end there", at(0, true), waits(20_000, &|n| Some(n - 2500))),
        ("lines, but `current` has its size", at(10_000, false), waits(500, &|_| None)),
        ("written up to a line end within 2000 bytes of the size", at(7_500, true), Event::Wrote(500, true)),
        ("written up to a line end before that", at(7_500, true), Event::Wrote(400, true)),
        ("written up to somewhere in a line", at(7_500, true), Event::Wrote(600, false)),
        ("`current` found to be another file, or none", at(500, true), Event::Taken),
        ("`current` found to be truncated", at(500, false), Event::Ours(0)),
        ("the write fails", at(500, true), Event::Failed(NOW)),
        ("ALRM, `current` is empty", at(0, true), Event::Alarm),
        ("ALRM, at a line end", at(500, true), Event::Alarm),
        ("ALRM, within a line", at(500, false), Event::Alarm),
        ("end of input, TERM", at(500, true), Event::End),
    ];
    let mut table = "| what happens while `current` is open | then |\n|---|---|\n".to_owned();
    for (what, state, event) in rows {
        let (next, action) = state.step(&RULE, event);
        writeln!(table, "| {what} | {} |", shown(next, action)).unwrap();
    }
    table
}

/// Each step of a rotation, and what follows it.
fn steps() -> String {
    let mut table =
        "| step | does | done | what it works on is gone | fails |\n|---|---|---|---|---|\n".to_owned();
    for step in STEPS {
        let after = |event: Event<'_>| {
            let plain = State::Doing(step).step(&RULE, event);
            let processed = State::Doing(step).step(&Rule { processed: true, ..RULE }, event);
            match plain == processed {
                true => shown(plain.0, plain.1),
                false => format!(
                    "{}; with a processor {}",
                    shown(plain.0, plain.1),
                    shown(processed.0, processed.1)
                ),
            }
        };
        let done = if step == Step::Reopen { Event::Opened(0) } else { Event::Done };
        let (done, gone, fails) = (after(done), after(Event::Gone(NOW)), after(Event::Failed(NOW)));
        writeln!(table, "| {step:?} | {} | {done} | {gone} | {fails} |", does(step)).unwrap();
    }
    table
}

/// After a pause.
fn retry() -> String {
    let current = Current { size: 500, at_line_end: true, alarmed: false };
    let rows = [
        ("a write failed", Again::Write(current)),
        ("a step failed", Again::Step(Step::Rename)),
        ("a signal ended the processor", Again::Processor),
    ];
    let mut table = "| five seconds after | then |\n|---|---|\n".to_owned();
    for (what, again) in rows {
        let (next, action) = State::Retry { again, at: NOW }.step(&RULE, Event::Clock(NOW));
        writeln!(table, "| {what} | {} |", shown(next, action)).unwrap();
    }
    table
}

fn shown(state: State, action: Action) -> String {
    let pause = |again| match again {
        Again::Write(_) => "pause, write again".to_owned(),
        Again::Step(step) => format!("pause, {step:?}"),
        Again::Processor => "pause, say that it failed".to_owned(),
    };
    match (state, action) {
        (State::Open(_), Action::Write(500)) => "write all".into(),
        (State::Open(_), Action::Write(10_000)) => "write exactly up to the size".into(),
        (State::Open(_), Action::Write(_)) => "write up to that line end".into(),
        (State::Open(Current { alarmed: true, .. }), _) => "open; Sync when the line ends".into(),
        (State::Open(_), _) => "open".into(),
        (State::Doing(step), _) => format!("{step:?}"),
        (State::Retry { again, .. }, Action::SayFailed(_)) => format!("say that it failed, {}", pause(again)),
        (State::Retry { again, .. }, _) => pause(again),
        (State::Closed, _) => "closed".into(),
    }
}

const STEPS: [Step; 17] = [
    Step::Sync,
    Step::Rename,
    Step::Create,
    Step::Mark,
    Step::Keep,
    Step::Process,
    Step::SyncProcessed,
    Step::SyncState,
    Step::RemovePrevious,
    Step::TakeState,
    Step::KeepProcessed,
    Step::Prune,
    Step::Leave,
    Step::Begin,
    Step::Reopen,
    Step::SyncLast,
    Step::MarkLast,
];

fn does(step: Step) -> &'static str {
    match step {
        Step::Sync => "fsync `current`",
        Step::Rename => "`current` becomes `previous`",
        Step::Create => "a new `current`, 0644",
        Step::Mark => "`previous` 0744",
        Step::Keep => "`previous` becomes `@LABEL.s`",
        Step::Process => "the processor makes `processed` and `newstate`",
        Step::SyncProcessed => "fsync `processed`, 0744",
        Step::SyncState => "fsync `newstate`",
        Step::RemovePrevious => "removes `previous`",
        Step::TakeState => "`newstate` becomes `state`",
        Step::KeepProcessed => "`processed` becomes `@LABEL.s`",
        Step::Prune => "removes the oldest beyond NUM - 1 old logs",
        Step::Leave => "fsync the file that somebody took away",
        Step::Begin => "a new `current` in its place",
        Step::Reopen => "makes, locks and opens the directory as at the start",
        Step::SyncLast => "fsync `current`",
        Step::MarkLast => "`current` 0744",
    }
}
