//! A scan directory with hundreds of services, beside which every other test's is small.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::HashSet;
use tests::process::{Process, lives};
use tests::service::Service;
use tests::{Programs, Sandbox, mask, on_both};

on_both! {
    hundreds_of_services_start_are_told_of_and_go_down_and_up,
}

const SERVICES: usize = 200;
const UP: &str = "up (pid PID) N seconds";

/// So many services that only sleep.
fn services(sandbox: &Sandbox) -> Vec<Service<'_>> {
    (0..SERVICES).map(|i| Service::sleeper(sandbox, format!("scan/s{i:03}"))).collect()
}

/// Waits until all run, each as a process of its own.
fn pids(services: &[Service<'_>]) -> HashSet<i32> {
    let pids: HashSet<_> = services.iter().map(Service::wait_until_up).collect();
    assert_eq!(pids.len(), SERVICES);
    pids
}

/// Runs one command on all of them.
fn on_all(sandbox: &Sandbox, command: &[&str], services: &[Service<'_>]) -> String {
    let words: Vec<_> = command[1..].iter().copied().chain(services.iter().map(Service::name)).collect();
    let done = sandbox.run(command[0], &words);
    assert_eq!(done.err, "");
    done.good()
}

/// What one `svstat` says of all of them is the same, each after its name and without pid and times.
fn assert_svstat(sandbox: &Sandbox, services: &[Service<'_>], state: &str) {
    let said = mask::pids_and_times(&on_all(sandbox, &["svstat"], services));
    let expected: String = services.iter().map(|service| format!("{}: {state}\n", service.name())).collect();
    assert_eq!(said, expected);
}

fn hundreds_of_services_start_are_told_of_and_go_down_and_up(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let services = services(&sandbox);
    let svscan = sandbox.start("svscan", &["scan"]);
    let before = pids(&services);
    assert_svstat(&sandbox, &services, UP);

    assert_eq!(on_all(&sandbox, &["svc", "-d"], &services), "");
    services.iter().for_each(Service::wait_until_down);
    assert_svstat(&sandbox, &services, "down N seconds, normally up");
    assert!(!before.iter().any(|pid| lives(*pid)));

    assert_eq!(on_all(&sandbox, &["svc", "-u"], &services), "");
    pids(&services);
    assert_svstat(&sandbox, &services, UP);
    assert_eq!((svscan.out(), svscan.err()), (String::new(), String::new()));
}

/// "svscan TERM: services get their stop with grace, … all bounded".
#[test]
fn hundreds_of_services_end_with_their_svscan() {
    let sandbox = Sandbox::new();
    let services = services(&sandbox);
    let mut svscan = sandbox.start("svscan", &["scan"]);
    let pids = pids(&services);
    let supervises: Vec<_> = Process::children(svscan.pid()).into_iter().map(|process| process.pid).collect();
    assert_eq!(supervises.len(), SERVICES);

    assert_eq!(svscan.terminate().told(), (0, "", ""));
    assert!(!pids.iter().chain(&supervises).any(|pid| lives(*pid)));
    assert_svstat(&sandbox, &services, "supervise not running");
}
