//! What ours does better than daemontools when something goes wrong.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use servicedir::status::{State, Want};
use tests::pair::LOGGER;
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Running, Sandbox};
use unix::process::Signal;

/// All supervises and services of a sandbox, by what they are called in the process list.
fn words(sandbox: &Sandbox) -> Vec<String> {
    let mut words: Vec<_> = sandbox.leftovers().into_iter().map(|process| process.words).collect();
    words.sort();
    words
}

fn svscan(sandbox: &Sandbox) -> Running {
    sandbox.folder("scan");
    sandbox.start("svscan", &["scan"])
}

/// "0.76 sleeps in place; we must not: a command arriving in that second acts at once".
#[test]
fn a_letter_is_obeyed_within_the_second_before_a_restart() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo start >>starts");
    let mut supervise = service.supervise();
    let state = || service.status().unwrap().more.unwrap().state;
    sandbox.wait_until("it waits before the next start", || state() == State::Backoff);
    service.svc("-d");
    sandbox
        .wait_until("d is obeyed", || service.status().unwrap().want == Want::Down && state() == State::Down);
    // A start could come in between only before d arrived.
    let starts = service.read("starts");
    service.svc("-x");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), starts);
}

/// "supervise dies (kill -9): svscan … starts a new one, which finds the pid in `status`, … and adopts: status,
/// signals, exit are handled as for an own child. … Never two copies".
#[test]
fn fault_supervise_killed_the_service_is_adopted_and_never_runs_twice() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", "echo start >>starts; exec sleep 1000");
    let svscan = svscan(&sandbox);
    let pid = service.wait_until_up();
    service.wait_until_it_holds("starts", "start\n");
    for _ in 0..3 {
        let supervise = supervise_of(&sandbox, &svscan, "s");
        signal(supervise, Signal::SIGKILL);
        sandbox.wait_until("another supervise has taken over", || {
            service.is_supervised()
                && Process::children(svscan.pid())
                    .iter()
                    .any(|p| p.words == "supervise s" && p.pid != supervise)
                && service.status().unwrap().more.unwrap().adopted
        });
        assert_eq!(service.svstat(), "up (pid PID) N seconds");
        assert_eq!(service.pid(), Some(pid));
    }
    assert_eq!(service.read("starts"), "start\n");
    let running = || words(&sandbox).iter().filter(|words| *words == "sleep 1000").count();
    sandbox.wait_until("one runs", || running() == 1);

    service.svc("-p");
    sandbox.wait_until("its letters reach it", || {
        Process::find(pid).is_some_and(|process| process.state == 'T')
    });
    service.svc("-c");
    service.svc("-d");
    service.wait_until_svstat("down N seconds, normally up");
    assert!(!lives(pid));
    service.svc("-u");
    service.wait_until_it_holds("starts", "start\nstart\n");
    assert_eq!(svscan.err(), "");
}

/// An adopted service that ends is started again.
#[test]
fn fault_supervise_and_service_killed_it_is_noticed_and_started_again() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", "echo start >>starts; exec sleep 1000");
    let svscan = svscan(&sandbox);
    let pid = service.wait_until_up();
    signal(supervise_of(&sandbox, &svscan, "s"), Signal::SIGKILL);
    sandbox.wait_until("it is adopted", || service.status().unwrap().more.unwrap().adopted);
    signal(pid, Signal::SIGKILL);
    service.wait_until_another(pid);
    service.wait_until_it_holds("starts", "start\nstart\n");
    assert!(!service.status().unwrap().more.unwrap().adopted);
}

/// "svscan dies: services, supervises and loggers go on. A new svscan finds the locks held, waits for those
/// supervises instead of starting twins, without noise".
#[test]
fn fault_svscan_killed_a_new_one_starts_no_twins_and_makes_no_noise() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", "echo start >>starts; exec sleep 1000").with_log(LOGGER);
    let log = Service::empty(&sandbox, "scan/s/log");
    let mut first = svscan(&sandbox);
    let pids = (service.wait_until_up(), log.wait_until_up());
    service.wait_until_it_holds("starts", "start\n");
    first.kill();
    assert_eq!((service.wait_until_up(), log.wait_until_up()), pids);
    let second = svscan(&sandbox);
    // It has read its directory when it has taken up one more.
    Service::moved_in(&sandbox, "scan", "marker").wait_until_up();
    assert_eq!((service.wait_until_up(), log.wait_until_up()), pids);
    assert_eq!(service.read("starts"), "start\n");
    assert_eq!((second.out(), second.err()), (String::new(), String::new()));
    let supervises = || words(&sandbox).iter().filter(|words| words.starts_with("supervise ")).count();
    sandbox.wait_until("there are three supervises", || supervises() == 3);
}

/// What a new svscan found running is started again by it when it ends.
#[test]
fn fault_svscan_killed_a_new_one_takes_over_what_it_finds() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut first = svscan(&sandbox);
    let pid = service.wait_until_up();
    first.kill();
    let second = svscan(&sandbox);
    Service::moved_in(&sandbox, "scan", "marker").wait_until_up();
    service.svc("-dx");
    service.wait_until_another(pid);
    assert!(Process::children(second.pid()).iter().any(|process| process.words == "supervise s"));
    assert_eq!(second.err(), "");
}

/// "svscan TERM: services get their stop …, loggers end after them by EOF, all bounded"; exit code 0: nothing had
/// to be killed.
#[test]
fn fault_term_to_svscan_stops_services_then_loggers_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo bye; exit 0' TERM\necho hello\nwhile :; do sleep 0.02; done";
    let services = ["a", "b", "c"].map(|name| {
        Service::new(&sandbox, format!("scan/{name}"), script)
            .with_log("while read -r line; do echo \"$line\"; done >>lines\necho end >>lines")
    });
    let down = Service::sleeper(&sandbox, "scan/down").down();
    let mut svscan = svscan(&sandbox);
    for service in &services {
        service.wait_until_it_holds("log/lines", "hello\n");
    }
    down.wait_until_svstat("down N seconds");
    assert_eq!(svscan.terminate().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
    for service in &services {
        assert_eq!(service.read("log/lines"), "hello\nbye\nend\n");
        assert_eq!(service.svstat(), "supervise not running");
    }
}

/// "second TERM hurries"; "exit code says whether anything had to be killed".
#[test]
fn fault_second_term_to_svscan_kills_what_does_not_stop() {
    let sandbox = Sandbox::new();
    let service =
        Service::new(&sandbox, "scan/s", "trap 'echo TERM >>signals' TERM\nwhile :; do sleep 0.02; done");
    let mut svscan = svscan(&sandbox);
    service.wait_until_up();
    // The trap is set when the first signal is noted, so ask until it is.
    sandbox.wait_until("the service catches TERM", || {
        service.svc("-t");
        !service.read("signals").is_empty()
    });
    svscan.signal(Signal::SIGTERM);
    sandbox.wait_until("svscan has heard it", || service.svstat() == "up (pid PID) N seconds, want down");
    assert!(svscan.runs());
    let done = svscan.terminate();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.err, "svscan: warning: killing s: it did not stop in time\n");
    sandbox.wait_until_nothing_is_left();
}

/// "all bounded": a supervise that somebody has stopped goes on, and stops its service.
#[test]
fn fault_term_to_svscan_while_a_supervise_is_stopped_it_goes_on_and_ends_in_order() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut svscan = svscan(&sandbox);
    service.wait_until_up();
    signal(supervise_of(&sandbox, &svscan, "s"), Signal::SIGSTOP);
    assert_eq!(svscan.terminate().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// "all bounded": where neither the supervise hears nor the service, both are killed.
#[test]
fn fault_second_term_to_svscan_while_a_supervise_has_no_ears_leaves_nothing() {
    let sandbox = Sandbox::new();
    let service =
        Service::new(&sandbox, "scan/s", "trap '' TERM; echo start >>starts; while :; do sleep 1; done");
    let mut svscan = svscan(&sandbox);
    service.wait_until_it_holds("starts", "start\n");
    sandbox.remove("scan/s/supervise/control");
    svscan.signal(Signal::SIGTERM);
    sandbox.wait_until("the supervise is asked to end", || {
        service.svstat() == "up (pid PID) N seconds, want down"
    });
    let done = svscan.terminate();
    assert_eq!(done.told(), (1, "", "svscan: warning: killing s: it did not stop in time\n"));
    sandbox.wait_until("the service is gone", || {
        sandbox.leftovers().iter().all(|process| process.words.starts_with("sleep"))
    });
}

/// Start time and boot clock are those of the same clock, also where a container has one of its own.
#[test]
fn a_service_is_adopted_where_the_clock_since_boot_is_set_off() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "scan/s", "echo start >>starts; exec sleep 1000");
    let path = sandbox.programs().path("svscan");
    let offsets = ["-Tf", "--kill-child", "--boottime", "1000000", "--monotonic", "2000000"];
    let mut outer = sandbox.start("unshare", &[&offsets[..], &[path.to_str().unwrap(), "scan"]].concat());
    sandbox.wait_until("svscan runs, or may not", || service.is_supervised() || !outer.runs());
    if !outer.runs() {
        return eprintln!("no time namespaces here: this cannot be tried");
    }
    let pid = service.wait_until_up();
    service.wait_until_it_holds("starts", "start\n");
    let supervise = service.status().unwrap().more.unwrap().supervise.unwrap().pid;
    signal(supervise, Signal::SIGKILL);
    sandbox.wait_until("it is adopted", || service.status().unwrap().more.unwrap().adopted);
    assert_eq!((service.pid(), service.read("starts").as_str()), (Some(pid), "start\n"));
    service.svc("-t");
    service.wait_until_another(pid);
}

/// "INT as TERM."
#[test]
fn int_to_svscan_ends_it_as_term_does() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut svscan = svscan(&sandbox);
    service.wait_until_up();
    svscan.signal(Signal::SIGINT);
    assert_eq!(svscan.finish().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

/// "HUP: rescan now".
#[test]
fn fault_hup_to_svscan_ends_nothing() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut svscan = svscan(&sandbox);
    let pid = service.wait_until_up();
    svscan.signal(Signal::SIGHUP);
    Service::moved_in(&sandbox, "scan", "later").wait_until_up();
    assert!(svscan.runs() && lives(pid));
}

fn supervise_of(sandbox: &Sandbox, svscan: &Running, name: &str) -> i32 {
    sandbox.wait_for("svscan has a supervise", || {
        let words = format!("supervise {name}");
        Process::children(svscan.pid()).into_iter().find(|process| process.words == words).map(|p| p.pid)
    })
}
