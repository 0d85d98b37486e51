//! Waiting for what a service becomes, and what svstat says to people and programs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::path::Path;
use tests::process::{lives, signal};
use tests::service::Service;
use tests::{Sandbox, mask};
use unix::process::Signal;

/// "`svc -wu|-wU|-wd|-wD|-wr [-T ms]` waits for up, ready, down, finished, restarted".
#[test]
fn svc_returns_when_the_service_is_as_asked() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "exec sleep 1000").down();
    sandbox.script("s/finish", "sleep 0.3; echo finished >>log");
    let _supervise = service.supervise();
    let svc = |options: &[&str]| {
        let done = sandbox.run("svc", &[options, &["s"]].concat());
        assert_eq!(done.told(), (0, "", ""), "{options:?}");
    };
    svc(&["-wu", "-u"]);
    let first = service.pid().unwrap();
    svc(&["-wU", "-T", "100000"]);
    assert!(service.status().unwrap().more.unwrap().ready.is_some());
    svc(&["-wr", "-r"]);
    let second = service.pid().unwrap();
    assert!(second != first && !lives(first));
    svc(&["-wd", "-d"]);
    assert_eq!(service.pid(), None);
    svc(&["-wD"]);
    assert_eq!(service.read("log"), "finished\nfinished\n");
    // What is so already needs no wait.
    svc(&["-wd"]);
    svc(&["-dx", "-wD"]);
}

/// A restart too quick to be seen is noticed all the same.
#[test]
fn a_process_that_is_replaced_at_once_counts_as_down_and_restarted() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    service.wait_until_up();
    for options in [["-wr", "-k"], ["-wd", "-k"], ["-wD", "-t"]] {
        let done = sandbox.run("svc", &[&options[..], &["-T100000", "s"]].concat());
        assert_eq!(done.told(), (0, "", ""), "{options:?}");
    }
}

/// "timeouts exit code and line documented".
#[test]
fn a_wait_that_is_in_vain_says_so() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s").down();
    Service::sleeper(&sandbox, "none");
    let failing = Service::new(&sandbox, "failing", "exit 1");
    sandbox.script("failing/finish", "exit 125");
    let mut supervise = service.supervise();
    let _failing = failing.supervise();
    let svc = |options: &[&str]| sandbox.run("svc", options);
    assert_eq!(svc(&["-wu", "-T", "50", "s"]).told(), (99, "", "svc: warning: s is not up: timed out\n"));
    let done = svc(&["-wu", "none"]);
    assert_eq!(done.told(), (111, "", "svc: warning: unable to wait for none: file does not exist\n"));
    let done = svc(&["-wU", "-T", "100000", "failing"]);
    assert_eq!(done.told(), (111, "", "svc: warning: failing is not ready: it has failed for good\n"));
    let mut waiting = sandbox.start("svc", &["-wu", "s"]);
    sandbox.wait_until("it waits", || waiting.runs());
    signal(supervise.pid(), Signal::SIGTERM);
    supervise.finish();
    let done = waiting.finish();
    assert_eq!(done.code, Some(111), "{done:?}");
    for (options, says) in [
        (&["-T"][..], "svc: option requires an argument -- T\nsvc options: u up, "),
        (&["-wu", "-T", "soon", "s"], "svc: -T takes milliseconds, not soon\nsvc options: u up, "),
        (&["-wz", "s"], "svc: illegal option -- z\nsvc options: u up, "),
    ] {
        let done = svc(options);
        assert_eq!((done.code, done.out.as_str()), (Some(100), ""));
        assert!(done.err.starts_with(says), "{}", done.err);
    }
}

/// "`svc -wu|-wU|-wd|-wD|-wr [-T ms]`": each of them ends when its time is over.
#[test]
fn each_wait_has_its_time() {
    let sandbox = Sandbox::new();
    let up = Service::sleeper(&sandbox, "up");
    sandbox.write("up/service.toml", "ready = \"fd:3\"\n");
    let down = Service::sleeper(&sandbox, "down").down();
    let ending = Service::new(&sandbox, "ending", "exec sleep 1000");
    sandbox.script("ending/finish", "echo begun >>log; exec sleep 1000");
    let _supervises = [up.supervise(), down.supervise(), ending.supervise()];
    up.wait_until_up();
    ending.wait_until_up();
    ending.svc("-d");
    ending.wait_until_it_holds("log", "begun\n");
    for (option, service, word) in [
        ("-wu", "down", "up"),
        ("-wU", "up", "ready"),
        ("-wd", "up", "down"),
        ("-wD", "up", "finished"),
        ("-wD", "ending", "finished"),
        ("-wr", "up", "restarted"),
    ] {
        let done = sandbox.run("svc", &[option, "-T", "50", service]);
        let said = format!("svc: warning: {service} is not {word}: timed out\n");
        assert_eq!(done.told(), (99, "", said.as_str()), "{option} {service}");
    }
}

/// "waiting costs no polling": neither whoever waits nor supervise does anything until there is something.
#[test]
fn waiting_costs_no_polling() {
    if !Path::new("/usr/bin/strace").exists() {
        return;
    }
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let supervise = service.supervise();
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    let svc = sandbox.programs().path("svc");
    let switches = || {
        let status = sandbox.read(format!("/proc/{}/status", supervise.pid()));
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = switches();
    let words = ["-o", "trace", svc.to_str().unwrap(), "-wd", "-T", "2000", "s"];
    assert_eq!(sandbox.run("strace", &words).code, Some(99));
    let trace = sandbox.read("trace");
    // A poll without a time only looks.
    let waits = |line: &&str| (line.contains("poll(") && !line.contains(", 0)")) || line.contains("sleep(");
    assert_eq!(trace.lines().filter(waits).count(), 1, "{trace}");
    // Once for the FIFO that svc has opened.
    let woken = switches() - before;
    assert!(woken <= 3, "supervise was woken {woken} times");
}

/// "`svstat --json`, `svstat -v` (ready, restarts, last exit, backoff, since)".
#[test]
fn svstat_says_more_to_people_and_programs_who_ask_for_it() {
    let sandbox = Sandbox::new();
    // It says that it is ready the first time only.
    let service = Service::new(&sandbox, "s", "[ -e again ] || { touch again; echo >&3; }; exec sleep 1000");
    sandbox.write("s/service.toml", "ready = \"fd:3\"\n");
    Service::sleeper(&sandbox, "none");
    let _supervise = service.supervise();
    let first = service.wait_until_up();
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    signal(first, Signal::SIGKILL);
    let pid = service.wait_until_another(first);
    let done = sandbox.run("svstat", &["-v", "s", "none"]);
    assert_eq!(
        mask::pids_and_times(&done.good()),
        "s: up (pid PID) N seconds, not ready, restarts 1, last exit signal 9\n\
         none: unable to open supervise/ok: file does not exist\n"
    );
    let text = sandbox.run("svstat", &["--json", "s", "none"]).good();
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!((&objects[0]["service"], &objects[0]["pid"]), (&"s".into(), &pid.into()));
    assert_eq!((&objects[0]["state"], &objects[0]["restarts"]), (&"up".into(), &1.into()));
    assert_eq!(objects[0]["last_exit"]["signal"], 9);
    assert_eq!(objects[1]["error"], "unable to open supervise/ok: file does not exist");
}

/// "letters `q 1 2 w O r`" and `y`.
#[test]
fn the_further_letters_send_their_signals() {
    let sandbox = Sandbox::new();
    let run = "for s in QUIT USR1 USR2 WINCH; do trap \"echo $s >>signals\" $s; done
echo start >>starts
while :; do sleep 0.02; done";
    let service = Service::new(&sandbox, "s", run);
    let mut supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    for (letter, expected) in
        [("-q", "QUIT\n"), ("-1", "USR1\n"), ("-2", "USR2\n"), ("-w", "WINCH\n"), ("-y", "WINCH\n")]
    {
        let before = service.read("signals").len();
        service.svc(letter);
        sandbox.wait_until(&format!("svc {letter} has sent it"), || {
            service.read("signals")[before..] == *expected
        });
    }
    service.svc("-r");
    service.wait_until_it_holds("starts", "start\nstart\n");
    // At most once more: this one comes to its end, and none follows.
    service.svc("-O");
    service.svc("-k");
    service.wait_until_svstat("down N seconds, normally up");
    // Started no more by the same letter.
    service.svc("-O");
    service.svc("-x");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "start\nstart\n");
}
