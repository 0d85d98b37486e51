//! multilog's log directory: its files, their modes, and what is made of what an earlier one left.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{listing, names, old_logs};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::{Programs, Sandbox, on_both};
use unix::process::Signal;

on_both! {
    the_files_have_the_modes_of_daemontools,
    modes_do_not_depend_on_the_umask,
    current_is_readable_while_it_is_written_and_executable_when_it_is_safe,
    a_directory_has_one_multilog,
    a_finished_current_is_appended_to_and_all_else_is_left_alone,
    what_an_earlier_multilog_left_unfinished_is_kept_as_unfinished,
    fault_multilog_killed_loses_nothing_that_was_written,
}

/// "A log directory (made 0700): `lock`, `current`, `state`"; "lock 0600; state, current 0644".
fn the_files_have_the_modes_of_daemontools(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.run_fed("multilog", &["./log"], "a\n");
    assert_eq!(listing(&sandbox, "log"), ["744 2 current", "600 0 lock", "644 0 state"]);
    assert_eq!(sandbox.path("log").metadata().unwrap().permissions().mode() & 0o7777, 0o700);
}

/// "multilog sets umask 022."
fn modes_do_not_depend_on_the_umask(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for mask in ["000", "077"] {
        let done = sandbox.run("sh", &["-c", &format!("umask {mask}; echo a | multilog ./log{mask}")]);
        assert_eq!(done.told(), (0, "", ""));
        let log = format!("log{mask}");
        assert_eq!(listing(&sandbox, &log), ["744 2 current", "600 0 lock", "644 0 state"]);
        assert_eq!(sandbox.path(&log).metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    }
}

/// "`current` mode 0644 while open, 0744 when finished cleanly". A line is written when it is there.
fn current_is_readable_while_it_is_written_and_executable_when_it_is_safe(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    assert_eq!(listing(&sandbox, "log"), ["644 4 current", "600 0 lock", "644 0 state"]);
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(listing(&sandbox, "log"), ["744 4 current", "600 0 lock", "644 0 state"]);
}

fn a_directory_has_one_multilog(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    sandbox.wait_until("it has begun", || sandbox.has("log/state"));
    let expected = "multilog: fatal: unable to lock directory ./log: temporary failure\n";
    assert_eq!(sandbox.run_fed("multilog", &["./log"], "a\n").told(), (111, "", expected));
    multilog.feed("b\n");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "b\n");
}

/// "the test is the owner's x bit of `current`. Set: append; everything else in the directory is left alone."
fn a_finished_current_is_appended_to_and_all_else_is_left_alone(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    leave(&sandbox, "log", &[("current", 0o744), ("state", 0o644), ("newstate", 0o644), ("previous", 0o644)]);
    leave(&sandbox, "log", &[("processed", 0o644), ("mine", 0o600)]);
    assert_eq!(sandbox.run_fed("multilog", &["./log"], "new\n").told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "current\nnew\n");
    for name in ["state", "newstate", "previous", "processed", "mine"] {
        assert_eq!(sandbox.read(format!("log/{name}")), format!("{name}\n"));
    }
    assert_eq!(
        names(&sandbox, "log"),
        ["current", "lock", "mine", "newstate", "previous", "processed", "state"]
    );
}

/// "Not set: state and newstate are removed; `processed` with its x bit: previous is removed and processed becomes
/// `.s`; else processed is removed and previous becomes `.u` (only removed if it has a second link); then current
/// becomes `.u`, an empty one too."
fn what_an_earlier_multilog_left_unfinished_is_kept_as_unfinished(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let plain = ["744 4 current", "600 0 lock", "644 0 state"];
    let table: [(&[Left], &[&str]); 6] = [
        (&[("current", 0o644)], &["644 8 @LABEL.u"]),
        (&[("previous", 0o744)], &["744 9 @LABEL.u"]),
        (&[("current", 0o644), ("previous", 0o744)], &["744 9 @LABEL.u", "644 8 @LABEL.u"]),
        (
            &[
                ("current", 0o644),
                ("previous", 0o744),
                ("processed", 0o644),
                ("newstate", 0o644),
                ("state", 0o644),
            ],
            &["744 9 @LABEL.u", "644 8 @LABEL.u"],
        ),
        (
            &[
                ("current", 0o644),
                ("previous", 0o744),
                ("processed", 0o744),
                ("newstate", 0o644),
                ("state", 0o644),
            ],
            &["744 10 @LABEL.s", "644 8 @LABEL.u"],
        ),
        (&[("state", 0o644), ("mine", 0o600)], &[]),
    ];
    for (number, (left, expected)) in table.into_iter().enumerate() {
        let log = format!("log{number}");
        leave(&sandbox, &log, left);
        assert_eq!(sandbox.run_fed("multilog", &[&format!("./{log}")], "new\n").told(), (0, "", ""));
        let mut found = listing(&sandbox, &log);
        found.retain(|line| !line.ends_with("mine"));
        assert_eq!(found, [expected, &plain].concat(), "{left:?}");
        assert_eq!(sandbox.read(format!("{log}/current")), "new\n");
    }

    leave(&sandbox, "empty", &[]);
    sandbox.write("empty/current", "");
    sandbox.run_fed("multilog", &["./empty"], "new\n");
    assert_eq!(listing(&sandbox, "empty"), [&["644 0 @LABEL.u"][..], &plain].concat());

    leave(&sandbox, "linked", &[("previous", 0o744)]);
    let old = "@400000003b4a39c23294b13c.s";
    fs::hard_link(sandbox.path("linked/previous"), sandbox.path("linked").join(old)).unwrap();
    sandbox.run_fed("multilog", &["./linked"], "new\n");
    assert_eq!(old_logs(&sandbox, "linked"), [old]);
    assert!(!sandbox.has("linked/previous"));
}

/// The next multilog keeps it as `.u` and goes on.
fn fault_multilog_killed_loses_nothing_that_was_written(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    multilog.signal(Signal::SIGKILL);
    assert_eq!(multilog.finish().signal, Some(9));
    sandbox.run_fed("multilog", &["./log"], "two\n");
    let old = old_logs(&sandbox, "log");
    assert!(old.len() == 1 && old[0].ends_with(".u"), "{old:?}");
    assert_eq!(multilog::all_text(&sandbox, "log"), "one\ntwo\n");
}

/// Name and mode of a file that an earlier multilog left.
type Left = (&'static str, u32);

/// Leaves files in a log directory, each with its name as its line.
fn leave(sandbox: &Sandbox, log: &str, files: &[Left]) {
    sandbox.folder(log);
    for (name, mode) in files {
        let path = sandbox.write(format!("{log}/{name}"), format!("{name}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
    }
}
