//! A service and its logger: the pipe between them is held by svscan and outlives both.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use tests::pair::LOGGER;
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Pair, Programs, Sandbox, on_both};
use unix::process::Signal;

on_both! {
    a_service_writes_to_its_logger,
    fault_service_or_logger_killed_no_line_is_lost,
    fault_supervise_of_a_pair_killed_the_pipe_stays,
    fault_log_that_is_no_directory_is_complained_about,
    fault_log_that_cannot_be_looked_at_keeps_the_service_out,
    a_log_that_appears_later_is_not_looked_at,
    a_logger_that_is_down_keeps_what_was_written_in_the_pipe,
}

/// "`supervise log` started in NAME, with a pipe from the first one's stdout to the second's stdin".
fn a_service_writes_to_its_logger(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut pair = Pair::new(&sandbox);
    let svscan = sandbox.start("svscan", &["scan"]);
    pair.log_numbers(1, 3);
    let (out, input) = pair.pipe();
    assert_eq!(out, input);
    assert!(out.to_str().unwrap().starts_with("pipe:"), "{out:?}");
    let supervise = Process::find(pair.log.wait_until_up()).unwrap().parent;
    assert_eq!(Process::find(supervise).unwrap().parent, svscan.pid());
    assert!(Process::find(supervise).unwrap().words.ends_with("supervise log"));
    assert_eq!(svscan.err(), "");
}

/// "which svscan keeps open for its life, so that neither restart loses a line." Both are killed while they
/// have nothing in their hands: what a process has read and not yet written goes with it.
fn fault_service_or_logger_killed_no_line_is_lost(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut pair = Pair::new(&sandbox);
    let _svscan = sandbox.start("svscan", &["scan"]);
    pair.log_numbers(1, 100);
    let before = pair.pipe();
    let (service, logger) = (pair.service.wait_until_up(), pair.log.wait_until_up());

    kill(&sandbox, logger);
    pair.log_numbers(101, 200);
    kill(&sandbox, service);
    pair.log_numbers(201, 300);
    let (service, logger) = (pair.service.wait_until_another(service), pair.log.wait_until_another(logger));
    kill(&sandbox, service);
    kill(&sandbox, logger);
    pair.log_numbers(301, 400);
    pair.service.wait_until_another(service);
    pair.log.wait_until_another(logger);
    assert_eq!(pair.pipe(), before);
}

fn fault_supervise_of_a_pair_killed_the_pipe_stays(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut pair = Pair::new(&sandbox);
    let _svscan = sandbox.start("svscan", &["scan"]);
    pair.log_numbers(1, 10);
    let before = pair.pipe();
    let (service, logger) = (pair.service.wait_until_up(), pair.log.wait_until_up());
    pair.log.svc("-dx");
    sandbox.wait_until("the logger has ended", || !lives(logger));
    pair.log_numbers(11, 20);
    pair.service.svc("-dx");
    sandbox.wait_until("the service has ended", || !lives(service));
    pair.log_numbers(21, 30);
    pair.service.wait_until_another(service);
    assert_eq!(pair.pipe(), before);
}

/// Kills a process and waits until it is gone: until then it may take something into its hands.
fn kill(sandbox: &Sandbox, pid: i32) {
    signal(pid, Signal::SIGKILL);
    sandbox.wait_until("the killed process is gone", || !lives(pid));
}

/// "any file of that name counts".
fn fault_log_that_is_no_directory_is_complained_about(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    sandbox.write("scan/s/log", "");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_up();
    svscan.wait_until_it_says("supervise: fatal: unable to chdir to log: not a directory\n");
}

/// "a log that cannot be looked at keeps the service itself out, with a warning."
fn fault_log_that_cannot_be_looked_at_keeps_the_service_out(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    sandbox.link("scan/s/log", "log");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    svscan.wait_until_it_says("svscan: warning: unable to stat s/log: symbolic link loop\n");
    Service::moved_in(&sandbox, "scan", "marker").wait_until_up();
    assert!(!service.path("supervise").exists());
    sandbox.remove("scan/s/log");
    service.wait_until_up();
}

/// "svscan looks for NAME/log once, when it first sees the service".
fn a_log_that_appears_later_is_not_looked_at(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "scan/s");
    let _svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_up();
    let service = service.with_log(LOGGER);
    Service::moved_in(&sandbox, "scan", "marker").wait_until_up();
    assert!(!service.path("log/supervise").exists());
}

fn a_logger_that_is_down_keeps_what_was_written_in_the_pipe(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut pair = Pair::new(&sandbox);
    sandbox.write("scan/s/log/down", "");
    let _svscan = sandbox.start("svscan", &["scan"]);
    pair.order(1, 50);
    pair.service.wait_until_up();
    pair.log.wait_until_svstat("down N seconds");
    pair.log.svc("-u");
    pair.expect(50);
}
