//! Where two programs meet: ours with daemontools' and the other way round.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use tests::pair::LOGGER;
use tests::service::Service;
use tests::{Done, Programs, Sandbox, mask};

/// svc, svstat and svok of one side work a supervise of the other.
fn control_works(supervise: Programs, control: Programs) {
    let sandbox = Sandbox::with(supervise);
    let service = Service::sleeper(&sandbox, "s");
    let run = |program: &str, arguments: &[&str]| -> Done { sandbox.run(control.path(program), arguments) };
    assert_eq!(run("svok", &["s"]).told(), (100, "", ""));
    let mut supervise = service.supervise();
    let pid = service.wait_until_up();
    assert_eq!(run("svok", &["s"]).told(), (0, "", ""));
    assert!(run("svstat", &["s"]).out.starts_with(&format!("s: up (pid {pid}) ")));
    let expect = |option: &str, line: &str| {
        assert_eq!(run("svc", &[option, "s"]).told(), (0, "", ""));
        sandbox.wait_until(line, || {
            mask::pids_and_times(&run("svstat", &["s"]).good()) == format!("s: {line}\n")
        });
    };
    expect("-p", "up (pid PID) N seconds, paused");
    expect("-c", "up (pid PID) N seconds");
    expect("-d", "down N seconds, normally up");
    expect("-u", "up (pid PID) N seconds");
    expect("-dx", "supervise not running");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(run("svok", &["s"]).told(), (100, "", ""));
}

#[test]
fn our_svc_svstat_and_svok_work_their_supervise() {
    control_works(Programs::theirs(), Programs::ours());
}

/// "`svc -wu|-wU|-wd|-wD|-wr [-T ms]` waits": also for their supervise, which does not say when a service is ready.
#[test]
fn our_svc_waits_for_their_supervise() {
    let sandbox = Sandbox::with(Programs::theirs());
    let service = Service::sleeper(&sandbox, "s");
    let mut supervise = service.supervise();
    service.wait_until_up();
    let svc = Programs::ours().path("svc");
    for options in [["-wu", "-u"], ["-wU", "-u"], ["-wr", "-k"], ["-wd", "-d"], ["-wD", "-dx"]] {
        let done = sandbox.run(&svc, &[&options[..], &["-T", "300000", "s"]].concat());
        assert_eq!(done.told(), (0, "", ""), "{options:?}");
    }
    assert_eq!(supervise.finish().told(), (0, "", ""));
}

#[test]
fn their_svc_svstat_and_svok_work_our_supervise() {
    control_works(Programs::ours(), Programs::theirs());
}

/// A service keeps its directory when one supervise follows the other.
fn supervises_follow_each_other(first: Programs, second: Programs) {
    let sandbox = Sandbox::with(first);
    let service = Service::sleeper(&sandbox, "s");
    let mut supervise = service.supervise();
    let pid = service.wait_until_up();
    let refused = sandbox.run(second.path("supervise"), &["s"]);
    let expected = "supervise: fatal: unable to acquire s/supervise/lock: temporary failure\n";
    assert_eq!(refused.told(), (111, "", expected));
    service.svc("-dx");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    let _supervise = sandbox.start(second.path("supervise"), &["s"]);
    service.wait_until_another(pid);
    service.wait_until_svstat("up (pid PID) N seconds");
}

#[test]
fn our_supervise_follows_theirs_in_the_same_directory() {
    supervises_follow_each_other(Programs::theirs(), Programs::ours());
}

#[test]
fn their_supervise_follows_ours_in_the_same_directory() {
    supervises_follow_each_other(Programs::ours(), Programs::theirs());
}

/// svscan of one side starts the supervises of the other, which it finds first on PATH.
fn svscan_works(svscan: Programs, supervise: Programs) {
    let sandbox = Sandbox::with(supervise);
    let service = Service::new(&sandbox, "scan/s", "echo started; exec sleep 1000").with_log(LOGGER);
    let svscan = sandbox.start(svscan.path("svscan"), &["scan"]);
    service.wait_until_it_holds("log/lines", "started\n");
    let first = service.wait_until_up();
    service.svc("-k");
    service.wait_until_another(first);
    service.wait_until_it_holds("log/lines", "started\nstarted\n");
    service.svc("-dx");
    service.wait_until_it_holds("log/lines", "started\nstarted\nstarted\n");
    assert_eq!(svscan.err(), "");
}

#[test]
fn our_svscan_works_with_their_supervise() {
    svscan_works(Programs::ours(), Programs::theirs());
}

#[test]
fn their_svscan_works_with_our_supervise() {
    svscan_works(Programs::theirs(), Programs::ours());
}
