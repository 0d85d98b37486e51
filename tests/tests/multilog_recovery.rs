//! What multilog makes of all that a multilog may leave that was killed: every combination, on Debian's and ours.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::names;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::{Programs, Sandbox, mask};

/// A file as it was left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// Whether the owner's x bit is set.
    finished: bool,
    empty: bool,
    /// The second name that it has, if it has one.
    linked: bool,
}

/// One combination of leftovers: a file may be missing.
#[derive(Clone, Copy, Debug)]
struct Leftovers {
    current: Option<Left>,
    previous: Option<Left>,
    processed: Option<Left>,
    newstate: bool,
    state: bool,
}

/// As many log directories as one multilog is given.
const TOGETHER: usize = 200;

/// "the test is the owner's x bit of `current`. Set: append; everything else in the directory is left alone. Not
/// set: state and newstate are removed; …": all files absent or present, with the x bit or not, empty or not, with
/// a second name or not.
#[test]
fn fault_multilog_killed_every_combination_of_leftovers_is_recovered() {
    let combinations = combinations();
    assert_eq!(combinations.len(), 9 * 9 * 9 * 2 * 2);
    let theirs = outcomes(Programs::theirs(), &combinations, &[]);
    let ours = outcomes(Programs::ours(), &combinations, &[]);
    for ((left, theirs), ours) in combinations.iter().zip(&theirs).zip(&ours) {
        assert_eq!(theirs, ours, "theirs and ours after {left:?}");
    }
}

/// "at most NUM-1 old logs stay": also of those that are made of leftovers; with nothing to be kept, none is removed.
#[test]
fn old_logs_are_removed_when_leftovers_become_old_logs_as_with_daemontools() {
    let some: Vec<_> = combinations().into_iter().filter(|left| left.state && !left.newstate).collect();
    let old: Vec<_> = (1..=6).map(|number| format!("@40000000000000000000000{number}.s")).collect();
    let theirs = outcomes(Programs::theirs(), &some, &old);
    let ours = outcomes(Programs::ours(), &some, &old);
    for ((left, theirs), ours) in some.iter().zip(&theirs).zip(&ours) {
        assert_eq!(theirs, ours, "theirs and ours after {left:?}");
    }
}

fn combinations() -> Vec<Leftovers> {
    let bools = [false, true];
    let mut files = vec![None];
    for finished in bools {
        for empty in bools {
            files.extend(bools.map(|linked| Some(Left { finished, empty, linked })));
        }
    }
    let mut all = vec![];
    for current in &files {
        for previous in &files {
            for processed in &files {
                for (newstate, state) in [(false, false), (false, true), (true, false), (true, true)] {
                    let (current, previous, processed) = (*current, *previous, *processed);
                    all.push(Leftovers { current, previous, processed, newstate, state });
                }
            }
        }
    }
    all
}

/// What each log directory holds after a multilog wrote a line to it.
fn outcomes(programs: Programs, combinations: &[Leftovers], old: &[String]) -> Vec<Vec<String>> {
    let sandbox = Sandbox::with(programs);
    let place = multilog::memory_folder();
    let logs: Vec<_> =
        (0..combinations.len()).map(|number| format!("{}/{number}", place.path().display())).collect();
    for (log, left) in logs.iter().zip(combinations) {
        leave(&sandbox, log, left);
        for name in old {
            sandbox.write(format!("{log}/{name}"), name);
        }
    }
    for logs in logs.chunks(TOGETHER) {
        let script: Vec<_> = std::iter::once("n5").chain(logs.iter().map(String::as_str)).collect();
        assert_eq!(sandbox.run_fed("multilog", &script, "new\n").told(), (0, "", ""));
    }
    logs.iter().map(|log| listing(&sandbox, log)).collect()
}

fn leave(sandbox: &Sandbox, log: &str, left: &Leftovers) {
    sandbox.folder(log);
    let files = [("current", left.current), ("previous", left.previous), ("processed", left.processed)];
    for (name, left) in files {
        let Some(left) = left else { continue };
        let path = sandbox
            .write(format!("{log}/{name}"), if left.empty { String::new() } else { format!("{name}\n") });
        fs::set_permissions(&path, fs::Permissions::from_mode(if left.finished { 0o744 } else { 0o644 }))
            .unwrap();
        if left.linked {
            fs::hard_link(path, sandbox.path(format!("{log}/@400000003b4a39c23294b13c.{name}"))).unwrap();
        }
    }
    for (name, there) in [("newstate", left.newstate), ("state", left.state)] {
        if there {
            sandbox.write(format!("{log}/{name}"), format!("{name}\n"));
        }
    }
}

/// Mode, name and content of each file; the labels of this day masked.
fn listing(sandbox: &Sandbox, log: &str) -> Vec<String> {
    let line = |name: String| {
        let path = sandbox.path(log).join(&name);
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        let shown = if name.starts_with("@400000006") { mask::labels(&name) } else { name };
        format!("{mode:o} {shown}: {:?}", sandbox.read(path))
    };
    let mut lines: Vec<_> = names(sandbox, log).into_iter().map(line).collect();
    lines.sort();
    lines
}
