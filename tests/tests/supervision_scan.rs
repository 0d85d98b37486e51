//! svscan: which supervises it starts, starts again and forgets.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::fs;
use tests::process::{Process, lives};
use tests::service::Service;
use tests::{Programs, Running, Sandbox, on_both};
use unix::process::Signal;

on_both! {
    every_directory_and_every_link_to_one_is_supervised_by_its_name,
    names_with_a_leading_dot_files_and_dangling_links_are_not_supervised,
    two_names_of_one_directory_get_one_supervise,
    fault_service_directory_renamed_under_svscan,
    a_service_that_appears_later_is_started,
    a_supervise_that_exits_is_started_again,
    fault_service_directory_removed_it_is_forgotten_when_its_supervise_has_exited,
    a_service_that_is_removed_and_added_again_is_started_again,
    supervise_is_found_on_the_path,
    fault_name_of_any_bytes_under_svscan,
    without_an_argument_the_working_directory_is_scanned,
    fault_entry_that_cannot_be_looked_at_is_named,
}

/// Starts `svscan scan`.
fn svscan(sandbox: &Sandbox) -> Running {
    sandbox.folder("scan");
    sandbox.start("svscan", &["scan"])
}

/// The supervises whose parent is this svscan, by their arguments, sorted.
fn supervises(svscan: &Running) -> Vec<String> {
    let words = |process: Process| process.words.split_once("supervise ").map(|(_, name)| name.to_owned());
    let mut names: Vec<_> = Process::children(svscan.pid()).into_iter().filter_map(words).collect();
    names.sort();
    names
}

/// Waits until svscan has read its directory again: until it has taken up one more service, which stays.
fn next_scan(sandbox: &Sandbox, marker: &str) {
    Service::moved_in(sandbox, "scan", marker).wait_until_up();
}

/// "each subdirectory (or link to one) … gets a `supervise NAME`".
fn every_directory_and_every_link_to_one_is_supervised_by_its_name(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let a = Service::sleeper(&sandbox, "scan/a");
    let b = Service::sleeper(&sandbox, "scan/b").down();
    let c = Service::sleeper(&sandbox, "elsewhere/c");
    sandbox.link("scan/link", "../elsewhere/c");
    let svscan = svscan(&sandbox);
    a.wait_until_up();
    c.wait_until_up();
    b.wait_until_svstat("down N seconds");
    sandbox.wait_until("there are three supervises", || supervises(&svscan) == ["a", "b", "link"]);
    assert_eq!((svscan.out(), svscan.err()), (String::new(), String::new()));
}

fn names_with_a_leading_dot_files_and_dangling_links_are_not_supervised(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let hidden = Service::sleeper(&sandbox, "scan/.hidden");
    sandbox.write("scan/file", "");
    sandbox.link("scan/dangling", "nowhere");
    let svscan = svscan(&sandbox);
    next_scan(&sandbox, "a");
    next_scan(&sandbox, "b");
    assert_eq!(supervises(&svscan), ["a", "b"]);
    assert!(!hidden.path("supervise").exists());
}

/// "Identity is (device, inode)."
fn two_names_of_one_directory_get_one_supervise(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "elsewhere/s");
    for name in ["one", "two"] {
        sandbox.folder("scan");
        sandbox.link(format!("scan/{name}"), "../elsewhere/s");
    }
    let svscan = svscan(&sandbox);
    service.wait_until_up();
    next_scan(&sandbox, "a");
    let names = supervises(&svscan);
    assert!(names == ["a", "one"] || names == ["a", "two"], "{names:?}");
    assert_eq!(svscan.err(), "");
}

fn fault_service_directory_renamed_under_svscan(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let before = Service::sleeper(&sandbox, "scan/before");
    let svscan = svscan(&sandbox);
    let pid = before.wait_until_up();
    fs::rename(sandbox.path("scan/before"), sandbox.path("scan/after")).unwrap();
    next_scan(&sandbox, "marker");
    assert_eq!(supervises(&svscan), ["before", "marker"]);
    assert!(lives(pid));
    assert_eq!(Service::empty(&sandbox, "scan/after").pid(), Some(pid));
    assert_eq!(svscan.err(), "");
}

/// "Every five seconds reads the directory".
fn a_service_that_appears_later_is_started(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let svscan = svscan(&sandbox);
    next_scan(&sandbox, "first");
    Service::moved_in(&sandbox, "scan", "later").wait_until_up();
    assert_eq!(supervises(&svscan), ["first", "later"]);
    assert_eq!(svscan.err(), "");
}

/// "A supervise that exits is started again at the next scan if the directory is still there".
fn a_supervise_that_exits_is_started_again(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    let svscan = svscan(&sandbox);
    let first = service.wait_until_up();
    service.svc("-dx");
    service.wait_until_another(first);
    assert!(!lives(first));
    assert_eq!(supervises(&svscan), ["s"]);
    assert_eq!(svscan.err(), "");
}

/// "a service whose directory is gone is forgotten when its supervises have exited."
fn fault_service_directory_removed_it_is_forgotten_when_its_supervise_has_exited(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    let svscan = svscan(&sandbox);
    let pid = service.wait_until_up();
    // The way of daemontools' manual: take the name away, then tell supervise through the old directory.
    fs::rename(sandbox.path("scan/s"), sandbox.path("removed")).unwrap();
    next_scan(&sandbox, "one");
    assert!(lives(pid), "taking the name away stops nothing");
    assert_eq!(sandbox.run("svc", &["-dx", "removed"]).told(), (0, "", ""));
    sandbox.wait_until("its supervise has gone", || supervises(&svscan) == ["one"]);
    assert!(!lives(pid));
    next_scan(&sandbox, "two");
    assert_eq!(supervises(&svscan), ["one", "two"]);
    assert_eq!(svscan.err(), "");
}

fn a_service_that_is_removed_and_added_again_is_started_again(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    let svscan = svscan(&sandbox);
    let first = service.wait_until_up();
    fs::rename(sandbox.path("scan/s"), sandbox.path("removed")).unwrap();
    assert_eq!(sandbox.run("svc", &["-dx", "removed"]).told(), (0, "", ""));
    sandbox.wait_until("its supervise has gone", || supervises(&svscan).is_empty());
    next_scan(&sandbox, "marker");
    sandbox.remove("removed");
    let service = Service::sleeper(&sandbox, "scan/s");
    service.wait_until_another(first);
    assert_eq!(supervises(&svscan), ["marker", "s"]);
}

/// "supervise is found on PATH."
fn supervise_is_found_on_the_path(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.script("first/supervise", "echo \"$PWD $*\" >>../noted; exec sleep 1000");
    Service::sleeper(&sandbox, "scan/s");
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", sandbox.path("first").display()));
    let _svscan = svscan(&sandbox);
    let expected = format!("{} s\n", sandbox.path("scan").display());
    sandbox.wait_until("the other supervise was started", || sandbox.read("noted") == expected);
}

/// "names with spaces, newlines, non-UTF-8".
fn fault_name_of_any_bytes_under_svscan(programs: Programs) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::with(programs);
    let names: [&[u8]; 5] = [b"two words", b"two\nlines", b"\xff\xfe", b"-dash", b"*"];
    for name in names {
        Service::sleeper(&sandbox, sandbox.path("scan").join(OsStr::from_bytes(name)));
    }
    let _svscan = svscan(&sandbox);
    for name in names {
        let path = sandbox.path("scan").join(OsStr::from_bytes(name));
        Service::empty(&sandbox, path).wait_until_up();
    }
}

fn without_an_argument_the_working_directory_is_scanned(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut command = sandbox.command("svscan", &[]);
    command.current_dir(sandbox.path("scan"));
    let svscan = sandbox.spawn(command);
    service.wait_until_up();
    assert_eq!(supervises(&svscan), ["s"]);
}

fn fault_entry_that_cannot_be_looked_at_is_named(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("scan");
    sandbox.link("scan/loop", "loop");
    sandbox.link("scan/dangling", "nowhere");
    let mut svscan = svscan(&sandbox);
    svscan.wait_until_it_says("svscan: warning: unable to stat loop: symbolic link loop\n");
    svscan.wait_until_it_says("svscan: warning: unable to stat dangling: file does not exist\n");
    svscan.signal(Signal::SIGTERM);
    svscan.finish();
}

/// "inotify on the directory …; a batch of changes is one change": however many services come at once, the directory is
/// read once.
#[test]
fn a_batch_of_changes_is_one_change() {
    let sandbox = Sandbox::new();
    // There from the start: nothing has changed by the time it is up.
    let first = Service::sleeper(&sandbox, "scan/first");
    let svscan = svscan(&sandbox);
    first.wait_until_up();
    let names: Vec<_> = (0..50).map(|number| format!("s{number}")).collect();
    for name in &names {
        Service::sleeper(&sandbox, format!("elsewhere/{name}"));
    }
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    // A close between two opens, so that the kernel makes no single event of them.
    let events = AddWatchFlags::IN_OPEN | AddWatchFlags::IN_CLOSE_NOWRITE;
    inotify.add_watch(&sandbox.path("scan"), events).unwrap();
    // It sees them all at once, however slow this machine is.
    svscan.signal(Signal::SIGSTOP);
    sandbox.wait_until("svscan is stopped", || Process::find(svscan.pid()).is_some_and(|p| p.state == 'T'));
    for name in &names {
        let (from, to) = (format!("elsewhere/{name}"), format!("scan/{name}"));
        fs::rename(sandbox.path(from), sandbox.path(to)).unwrap();
    }
    svscan.signal(Signal::SIGCONT);
    sandbox.wait_until("all are supervised", || supervises(&svscan).len() == 51);
    let mut reads = 0;
    while let Ok(events) = inotify.read_events() {
        let opens =
            |event: &&InotifyEvent| event.name.is_none() && event.mask.contains(AddWatchFlags::IN_OPEN);
        reads += events.iter().filter(opens).count();
    }
    assert_eq!(reads, 1, "the scan directory was read so often");
}

/// "Starts at most N services at a time so that 10,000 come up without a fork storm": 64, and more only when it has waited.
#[test]
fn no_more_than_64_supervises_are_starting_at_a_time() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        return;
    }
    let sandbox = Sandbox::new();
    // It never says that it has come up.
    sandbox.script("first/supervise", "exec sleep 1000");
    for number in 0..100 {
        sandbox.folder(format!("scan/s{number}"));
    }
    let program = sandbox.programs().path("svscan");
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", sandbox.path("first").display()));
    let calls = "trace=clone,clone3,vfork,fork,epoll_wait,epoll_pwait";
    sandbox.start("strace", &["-o", "trace", "-e", calls, program.to_str().unwrap(), "scan"]);
    // How many were started between two waits.
    let batches = || -> Vec<usize> {
        let trace = sandbox.read("trace");
        let waits = |line: &&str| line.starts_with("epoll_");
        let lines: Vec<_> = trace.lines().filter(|line| waits(line) || line.contains("= ")).collect();
        lines.split(waits).map(<[_]>::len).filter(|batch| *batch > 0).collect()
    };
    sandbox.wait_until("all are started", || batches().iter().sum::<usize>() >= 100);
    let batches = batches();
    assert_eq!(batches[0], 64, "{batches:?}");
    assert!(batches.iter().all(|batch| *batch <= 64), "{batches:?}");
}

/// "HUP: rescan now": what waits after failures, for a minute in the end, is tried again at once.
#[test]
fn after_hup_what_fails_again_and_again_is_tried_at_once() {
    let sandbox = Sandbox::new();
    sandbox.script("first/supervise", "echo start >>../starts; exit 111");
    Service::sleeper(&sandbox, "scan/s");
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", sandbox.path("first").display()));
    let svscan = svscan(&sandbox);
    sandbox.wait_until("it was started", || !sandbox.read("starts").is_empty());
    // By itself the eighth start would come after more than four minutes, which no test waits.
    sandbox.wait_until("it was started eight times", || {
        svscan.signal(Signal::SIGHUP);
        sandbox.read("starts").lines().count() >= 8
    });
}

/// "Never more than one line per cause and minute."
#[test]
fn a_cause_is_named_once_however_often_it_is_met() {
    let sandbox = Sandbox::new();
    sandbox.folder("scan");
    sandbox.link("scan/loop", "loop");
    sandbox.link("scan/dangling", "nowhere");
    let svscan = svscan(&sandbox);
    for marker in ["a", "b", "c", "d"] {
        next_scan(&sandbox, marker);
    }
    let said = svscan.err();
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort();
    let expected = [
        "svscan: warning: unable to stat dangling: file does not exist",
        "svscan: warning: unable to stat loop: symbolic link loop",
    ];
    assert_eq!(lines, expected, "{said}");
}
