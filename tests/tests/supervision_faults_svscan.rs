//! kill -9 of svscan, alone and with others: the next one takes over, and what is in the log pipe stays.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Pair, Running, Sandbox};
use unix::process::Signal;

/// Both supervises, which live.
fn supervises(pair: &Pair<'_>) -> (i32, i32) {
    let parent = |pid| Process::find(pid).unwrap().parent;
    let holder = |service: &Service| servicedir::holder::recorded(&service.path("")).unwrap().pid;
    let found = (holder(&pair.service), holder(&pair.log));
    assert!(lives(found.0) && lives(found.1) && parent(found.0) > 0);
    found
}

fn svscan(sandbox: &Sandbox) -> Running {
    sandbox.start("svscan", &["scan"])
}

/// Waits until svscan has read its directory: until it has taken up one more service, which stays.
fn has_scanned(sandbox: &Sandbox, marker: &str) {
    Service::moved_in(sandbox, "scan", marker).wait_until_up();
}

fn kill(sandbox: &Sandbox, pid: i32) {
    signal(pid, Signal::SIGKILL);
    sandbox.wait_until("the killed process is gone", || !lives(pid));
}

/// "A new svscan … regains the log pipe from them …, so that the pair stays connected when one of them later
/// restarts."
#[test]
fn fault_svscan_killed_a_new_one_regains_the_log_pipe() {
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let mut first = svscan(&sandbox);
    pair.log_numbers(1, 10);
    let before = pair.pipe();
    assert_eq!(before.0, before.1);
    let (service, logger) = (pair.service.wait_until_up(), pair.log.wait_until_up());
    let (main, log) = supervises(&pair);
    first.kill();
    let second = svscan(&sandbox);
    has_scanned(&sandbox, "marker");

    kill(&sandbox, log);
    kill(&sandbox, logger);
    pair.log.wait_until_another(logger);
    pair.log_numbers(11, 20);
    kill(&sandbox, main);
    kill(&sandbox, service);
    pair.service.wait_until_another(service);
    pair.log_numbers(21, 30);
    assert_eq!(pair.pipe(), before, "it is the same pipe");
    assert_ne!(supervises(&pair), (main, log));
    assert_eq!((second.out(), second.err()), (String::new(), String::new()));
}

/// "what is in the pipe lives as long as one of svscan, the two supervises, service or logger lives."
#[test]
fn fault_svscan_supervises_and_logger_killed_no_line_in_the_pipe_is_lost() {
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let mut first = svscan(&sandbox);
    pair.log_numbers(1, 10);
    let before = pair.pipe();
    let service = pair.service.wait_until_up();
    let logger = pair.log.wait_until_up();
    let (main, log) = supervises(&pair);
    first.kill();
    for pid in [log, logger, main] {
        kill(&sandbox, pid);
    }
    let _second = svscan(&sandbox);
    pair.log.wait_until_another(logger);
    pair.log_numbers(11, 20);
    assert_eq!(pair.service.pid(), Some(service), "the service was adopted");
    assert_eq!(pair.pipe(), before);
}

/// The same, where the supervise of the logger is the one who lives: its end of the pair is started second.
#[test]
fn kill_9_of_all_but_the_supervise_of_the_logger_loses_no_line_in_the_pipe() {
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let mut first = svscan(&sandbox);
    pair.log_numbers(1, 10);
    let before = pair.pipe();
    let (service, logger) = (pair.service.wait_until_up(), pair.log.wait_until_up());
    let (main, log) = supervises(&pair);
    // The supervise that is to stay starts no other logger meanwhile.
    signal(log, Signal::SIGSTOP);
    first.kill();
    for pid in [main, logger, service] {
        kill(&sandbox, pid);
    }
    let _second = svscan(&sandbox);
    pair.service.wait_until_another(service);
    signal(log, Signal::SIGCONT);
    pair.log.wait_until_another(logger);
    pair.log_numbers(11, 20);
    assert_eq!(pair.pipe(), before);
}

/// "no writer meets SIGPIPE": the supervises hold both ends.
#[test]
fn fault_svscan_and_logger_killed_the_service_meets_no_sigpipe() {
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let mut first = svscan(&sandbox);
    pair.log_numbers(1, 10);
    let service = pair.service.wait_until_up();
    let logger = pair.log.wait_until_up();
    let (_, log) = supervises(&pair);
    first.kill();
    kill(&sandbox, log);
    kill(&sandbox, logger);
    pair.order(11, 20);
    let _second = svscan(&sandbox);
    pair.log_numbers(21, 30);
    assert_eq!(pair.service.pid(), Some(service));
}

/// "Supervises that svscan found (not its children) are waited for … at TERM too."
#[test]
fn fault_svscan_killed_term_to_the_new_one_waits_for_what_it_found() {
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let mut first = svscan(&sandbox);
    pair.log_numbers(1, 10);
    first.kill();
    let mut second = svscan(&sandbox);
    has_scanned(&sandbox, "marker");
    assert_eq!(second.terminate().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// The same, where the new one has not looked at it yet: its directory has just got its name.
#[test]
fn fault_svscan_killed_term_to_the_new_one_ends_also_what_it_has_not_looked_at() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut first = svscan(&sandbox);
    service.wait_until_up();
    first.kill();
    fs::rename(sandbox.path("scan/s"), sandbox.path("scan/.s")).unwrap();
    let mut second = svscan(&sandbox);
    has_scanned(&sandbox, "marker");
    second.signal(Signal::SIGSTOP);
    fs::rename(sandbox.path("scan/.s"), sandbox.path("scan/s")).unwrap();
    second.signal(Signal::SIGTERM);
    second.signal(Signal::SIGCONT);
    assert_eq!(second.finish().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// "As PID 1: the same, then reaps all; exit code says whether anything had to be killed."
#[test]
fn fault_term_to_svscan_as_pid_1_stops_everything() {
    let sandbox = Sandbox::new();
    let script = "setsid sh -c 'echo $$ >orphan; exec sleep 1000' &\nexec sleep 1000";
    let service = Service::new(&sandbox, "scan/s", script);
    let path = sandbox.programs().path("svscan");
    let arguments = ["-pf", "--mount-proc", "--kill-child", path.to_str().unwrap(), "scan"];
    let mut outer = sandbox.start("unshare", &arguments);
    service.wait_until_it_holds("orphan", "\n");
    let inner = sandbox.wait_for("svscan runs", || {
        Process::children(outer.pid()).into_iter().find(|process| process.words.contains("svscan"))
    });
    signal(inner.pid, Signal::SIGTERM);
    assert_eq!(outer.finish().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// "raise RLIMIT_NOFILE soft to hard, give children the original limit back".
#[test]
fn services_get_the_limit_on_open_files_that_svscan_was_started_with() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", "ulimit -Sn >limit\nexec sleep 1000");
    let svscan = sandbox.start("sh", &["-c", "ulimit -Sn 128; exec svscan scan"]);
    service.wait_until_it_holds("limit", "128\n");
    let limits = fs::read_to_string(format!("/proc/{}/limits", svscan.pid())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let figures: Vec<&str> = open_files.split_ascii_whitespace().skip(3).take(2).collect();
    assert_eq!(figures[0], figures[1], "soft and hard: {open_files}");
}

/// A supervise begins in the directory of the service before it goes to `log`: what is told it then is not for that of the
/// service, which would hear it, so that nobody ended the logger.
#[test]
fn fault_term_to_svscan_while_a_logger_is_being_started_it_ends_in_order() {
    let sandbox = Sandbox::new();
    let bin = sandbox.programs().bin().display().to_string();
    let wait =
        format!("[ \"$1\" != log ] || until [ -e go ]; do sleep 0.01; done\nexec {bin}/supervise \"$@\"");
    sandbox.script("slow/supervise", &wait);
    sandbox.set("PATH", format!("{}:{bin}:/usr/bin:/bin", sandbox.path("slow").display()));
    let service =
        Service::sleeper(&sandbox, "scan/s").with_log("while read -r line; do echo \"$line\"; done");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_up();
    svscan.signal(Signal::SIGTERM);
    sandbox.wait_until("the service has ended", || !service.is_supervised());
    sandbox.write("scan/s/go", "");
    assert_eq!(svscan.finish().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// A pair whose logger's supervise is being started, and does not get so far while `scan/s/closed` is there, and the svscan
/// that started it, which is killed then. All else lives, but for the logger.
fn killed_while_it_starts_the_supervise_of_a_logger(sandbox: &Sandbox) -> Pair<'_> {
    let bin = sandbox.programs().bin().display().to_string();
    let wait = format!(
        "[ \"$1\" != log ] || while [ -e closed ]; do echo >waits; sleep 0.01; done\nexec {bin}/supervise \"$@\""
    );
    sandbox.script("slow/supervise", &wait);
    sandbox.set("PATH", format!("{}:{bin}:/usr/bin:/bin", sandbox.path("slow").display()));
    let mut pair = Pair::new(sandbox);
    let mut first = svscan(sandbox);
    pair.log_numbers(1, 10);
    let logger = pair.log.wait_until_up();
    sandbox.write("scan/s/closed", "");
    kill(sandbox, supervises(&pair).1);
    kill(sandbox, logger);
    sandbox.wait_until("another supervise is being started", || sandbox.has("scan/s/waits"));
    first.kill();
    pair
}

/// The supervise that was only just started may be the last one who has an end of the pipe.
#[test]
fn fault_svscan_killed_while_it_starts_a_supervise_that_one_does_its_work() {
    let sandbox = Sandbox::new();
    let mut pair = killed_while_it_starts_the_supervise_of_a_logger(&sandbox);
    let main = servicedir::holder::recorded(&pair.service.path("")).unwrap().pid;
    kill(&sandbox, main);
    pair.order(11, 20);
    fs::remove_file(sandbox.path("scan/s/closed")).unwrap();
    pair.expect(20);
    let before = pair.pipe();
    let second = svscan(&sandbox);
    has_scanned(&sandbox, "marker");
    let service = pair.service.wait_until_up();
    kill(&sandbox, service);
    pair.service.wait_until_another(service);
    pair.log_numbers(21, 30);
    assert_eq!(pair.pipe(), before);
    assert_eq!((second.out(), second.err()), (String::new(), String::new()));
}

/// The same, where the next svscan comes before it has taken its lock, and nobody else has the pipe.
#[test]
fn fault_svscan_killed_while_it_starts_a_supervise_the_next_one_knows_of_that() {
    let sandbox = Sandbox::new();
    let mut pair = killed_while_it_starts_the_supervise_of_a_logger(&sandbox);
    let service = pair.service.wait_until_up();
    let before = pair.end(service, 1);
    let main = servicedir::holder::recorded(&pair.service.path("")).unwrap().pid;
    kill(&sandbox, main);
    kill(&sandbox, service);
    let second = svscan(&sandbox);
    pair.service.wait_until_another(service);
    fs::remove_file(sandbox.path("scan/s/closed")).unwrap();
    pair.log_numbers(11, 20);
    assert_eq!(pair.pipe(), (before.clone(), before));
    assert_eq!((second.out(), second.err()), (String::new(), String::new()));
}

/// What is only just being started may be about to take over a service that runs: it is told as soon as it hears.
#[test]
fn fault_term_to_svscan_while_a_supervise_is_being_started_its_service_is_stopped() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let bin = sandbox.programs().bin().display().to_string();
    let closed = service.path("closed").display().to_string();
    let wait =
        format!("while [ -e {closed} ]; do echo >s/waits; sleep 0.01; done\nexec {bin}/supervise \"$@\"");
    sandbox.script("slow/supervise", &wait);
    sandbox.set("PATH", format!("{}:{bin}:/usr/bin:/bin", sandbox.path("slow").display()));
    let mut svscan = svscan(&sandbox);
    service.wait_until_up();
    sandbox.write("scan/s/closed", "");
    kill(&sandbox, servicedir::holder::recorded(&service.path("")).unwrap().pid);
    sandbox.wait_until("another supervise is being started", || sandbox.has("scan/s/waits"));
    let before = switches(svscan.pid());
    svscan.signal(Signal::SIGTERM);
    // It has heard, and looks again and again whether it is heard.
    sandbox.wait_until("svscan has told what it can", || switches(svscan.pid()) > before + 10);
    fs::remove_file(sandbox.path("scan/s/closed")).unwrap();
    assert_eq!(svscan.finish().told(), (0, "", ""));
    assert!(sandbox.leftovers().is_empty(), "{:?}", sandbox.leftovers());
}

/// How often a process has gone to sleep.
fn switches(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let figure = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    figure.unwrap().trim().parse().unwrap()
}

/// A child between fork and exec has the name and the environment of the supervise that has forked it.
#[test]
fn fault_svscan_killed_while_a_supervise_forks_its_child_is_not_taken_for_it() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let meta = fs::metadata(service.path("")).unwrap();
    let program = sandbox.executable("supervise", fs::read("/bin/sh").unwrap());
    mkfifo(&sandbox.path("never"), Mode::from_bits_truncate(0o600)).unwrap();
    let script = "( exec 3<>never; : >forked; read -r word <&3 ) & wait";
    let mut command = sandbox.command(&program, &["-c", script]);
    command.env("SVSCAN", format!("{}:{}", meta.dev(), meta.ino()));
    let supervise = sandbox.spawn(command);
    sandbox.wait_until("it has forked", || sandbox.has("forked"));
    let _svscan = svscan(&sandbox);
    has_scanned(&sandbox, "marker");
    assert!(!service.is_supervised(), "one is there");
    kill(&sandbox, supervise.pid());
    service.wait_until_up();
}

/// What looks like a supervise may be anybody's: its word is taken only where it is of svscan's user in each respect.
#[test]
fn fault_another_user_says_that_it_is_a_supervise_it_gets_no_pipe() {
    if !unix::privileges::is_root() {
        return eprintln!("only root can start another user's process: this cannot be tried");
    }
    let sandbox = Sandbox::new();
    let mut pair = Pair::new(&sandbox);
    let meta = fs::metadata(sandbox.path("scan/s")).unwrap();
    // One that acts for root in the name of somebody else, who chose what it is called and its environment.
    let program = sandbox.executable("supervise", fs::read("/bin/sleep").unwrap());
    for (path, mode) in [(sandbox.dir(), 0o755), (&program, 0o4755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = sandbox.command(&program, &["1000"]);
    command.env("SVSCAN", format!("{}:{} 0", meta.dev(), meta.ino())).uid(65534).gid(65534);
    command.stdin(Stdio::piped());
    let impostor = sandbox.spawn(command);
    let svscan = svscan(&sandbox);
    pair.log_numbers(1, 10);
    assert_ne!(pair.pipe().1, pair.end(impostor.pid(), 0));
    assert_eq!(svscan.err(), "");
}
