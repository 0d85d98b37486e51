//! `./start` once before `./run`, `./finish` or `./stop` after it.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use servicedir::status::State;
use tests::Sandbox;
use tests::process::{Process, signal};
use tests::service::Service;
use unix::process::Signal;

fn state(service: &Service<'_>) -> State {
    service.status().and_then(|status| status.more).map_or(State::Down, |more| more.state)
}

/// "`./finish` … runs after each exit with code and signal as arguments"; "`./start` once before run".
#[test]
fn start_runs_once_and_finish_after_each_run_with_code_and_signal() {
    let sandbox = Sandbox::new();
    let service =
        Service::new(&sandbox, "s", "echo run >>log; [ -e second ] && exec sleep 1000; touch second; exit 7");
    sandbox.script("s/start", "echo start >>log");
    sandbox.script("s/finish", "echo finish $1 $2 $3 >>log");
    let mut supervise = service.supervise();
    service.wait_until_it_holds("log", "start\nrun\nfinish 7 0 s\nrun\n");
    service.wait_until_up();
    service.svc("-k");
    service.wait_until_it_holds("log", "finish 256 9 s\nrun\n");
    service.svc("-dx");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("log").matches("start").count(), 1);
    assert!(service.read("log").ends_with("finish 256 15 s\n"));
}

/// "exit 100 or 125 of `finish` means permanent failure".
#[test]
fn a_finish_that_exits_with_100_or_125_means_failed_for_good() {
    let sandbox = Sandbox::new();
    for code in ["100", "125"] {
        let service = Service::new(&sandbox, code, "exit 1");
        sandbox.script(format!("{code}/finish"), &format!("exit {code}"));
        let _supervise = service.supervise();
        sandbox.wait_until("it has failed for good", || state(&service) == State::Failed);
        assert_eq!(service.pid(), None);
    }
}

/// encore's convention: start fails, the service has failed.
#[test]
fn a_start_that_fails_keeps_the_service_down() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo run >>log");
    sandbox.script("s/start", "exit 1");
    let _supervise = service.supervise();
    sandbox.wait_until("it has failed for good", || state(&service) == State::Failed);
    assert_eq!(service.read("log"), "");
}

/// However it fails: exit codes have no meaning of their own here, and it is told how it ended.
#[test]
fn a_start_that_fails_in_any_way_is_told_as_failed_for_good() {
    let sandbox = Sandbox::new();
    let tell = sandbox.script("tell", "echo \"$SKYNET_EVENT $SKYNET_EXIT $SKYNET_COUNT\" >>told");
    for (name, start, exit) in [
        ("one", "exit 1", "code 1"),
        ("hundred", "exit 100", "code 100"),
        ("killed", "kill -9 $$", "signal 9"),
    ] {
        let service = Service::new(&sandbox, name, "echo run >>log");
        sandbox.script(format!("{name}/start"), start);
        let settings = format!("[notify]\ncommand = [\"{}\"]\n[exit]\ndone = [1, 100]\n", tell.display());
        sandbox.write(format!("{name}/service.toml"), settings);
        let _supervise = service.supervise();
        service.wait_until_it_holds("told", "\n");
        assert_eq!(
            (service.read("told").as_str(), service.read("log").as_str()),
            (format!("failed {exit} 0\n").as_str(), ""),
            "{name}"
        );
        sandbox.wait_until("it has failed for good", || state(&service) == State::Failed);
    }
}

/// "(also `./stop` as encore names it)": beside a run it is its finish.
#[test]
fn stop_runs_after_each_exit_as_finish_does() {
    let sandbox = Sandbox::new();
    let run = "echo run >>log; [ -e second ] && exec sleep 1000; touch second; exit 7";
    let service = Service::new(&sandbox, "s", run);
    sandbox.script("s/stop", "echo stop $1 $2 >>log");
    let _supervise = service.supervise();
    service.wait_until_it_holds("log", "run\nstop 7 0\nrun\n");
    service.wait_until_up();
    service.svc("-d");
    service.wait_until_it_holds("log", "run\nstop 7 0\nrun\nstop 256 15\n");
}

/// "TERM to supervise itself acts as `dx`."
#[test]
fn term_to_supervise_stops_the_service_and_ends_supervise_after_its_finish() {
    let sandbox = Sandbox::new();
    let run = "trap 'echo TERM >>log; exit 3' TERM\necho run >>log\nwhile :; do sleep 0.02; done";
    let service = Service::new(&sandbox, "s", run);
    sandbox.script("s/finish", "echo finish $1 $2 >>log");
    let mut supervise = service.supervise();
    service.wait_until_it_holds("log", "run\n");
    assert_eq!(supervise.terminate().told(), (0, "", ""));
    assert_eq!(service.read("log"), "run\nTERM\nfinish 3 0\n");
    sandbox.wait_until_nothing_is_left();
}

/// encore's start and stop, without a run: up and down are these two.
#[test]
fn start_and_stop_work_without_a_run() {
    let sandbox = Sandbox::new();
    let service = Service::empty(&sandbox, "s");
    sandbox.script("s/start", "echo start >>log");
    sandbox.script("s/stop", "echo stop >>log");
    let supervise = service.supervise();
    service.wait_until_it_holds("log", "start\n");
    sandbox.wait_until("nothing more is due", || state(&service) == State::Down);
    service.svc("-d");
    service.wait_until_it_holds("log", "start\nstop\n");
    service.svc("-u");
    service.wait_until_it_holds("log", "start\nstop\nstart\n");
    assert_eq!(supervise.err(), "");
}

/// "What was wanted holds", and what was done: `stop` undoes it, and `start` is not done twice.
#[test]
fn fault_supervise_killed_after_a_start_that_was_all_stop_undoes_it() {
    let sandbox = Sandbox::new();
    let service = Service::empty(&sandbox, "s");
    sandbox.script("s/start", "echo start >>log");
    sandbox.script("s/stop", "echo stop >>log");
    let mut first = service.supervise();
    service.wait_until_it_holds("log", "start\n");
    sandbox.wait_until("nothing more is due", || state(&service) == State::Down);
    first.kill();
    let mut second = service.supervise();
    service.svc("-d");
    service.wait_until_it_holds("log", "start\nstop\n");
    sandbox.wait_until("nothing more is due", || state(&service) == State::Down);
    second.kill();
    let third = service.supervise();
    service.svc("-u");
    service.wait_until_it_holds("log", "start\nstop\nstart\n");
    assert_eq!(third.err(), "");
}

/// "with a time limit".
#[test]
fn fault_finish_that_hangs_is_killed_and_that_is_said() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo run >>log; exit 1");
    sandbox.script("s/finish", "exec sleep 1000");
    sandbox.write("s/service.toml", "[finish]\nlimit = \"200ms\"\n");
    let mut supervise = service.supervise();
    supervise.wait_until_it_says("supervise: warning: s/finish did not end within 0.2 seconds: killing it");
    service.wait_until_it_holds("log", "run\nrun\n");
}

/// "They run when they are there and executable".
#[test]
fn scripts_that_are_not_executable_are_not_there() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    sandbox.write("s/start", "#!/bin/sh\nexit 1");
    sandbox.folder("s/finish");
    let supervise = service.supervise();
    let pid = service.wait_until_up();
    service.svc("-k");
    service.wait_until_another(pid);
    assert_eq!(supervise.err(), "");
}

/// "Never two copies, also when it dies": a finish that runs when supervise is killed is waited for.
#[test]
fn fault_supervise_killed_while_finish_runs_it_is_waited_for() {
    let sandbox = Sandbox::new();
    let run = "echo run >>log; [ -e second ] && exec sleep 1000; touch second; exit 1";
    let service = Service::new(&sandbox, "s", run);
    sandbox
        .script("s/finish", "echo finish >>log; while [ ! -e go ]; do sleep 0.02; done; echo finished >>log");
    let mut first = service.supervise();
    service.wait_until_it_holds("log", "finish\n");
    first.kill();
    let _second = service.supervise();
    let script = sandbox.wait_for("it is adopted", || {
        let more = service.status()?.more?;
        more.script.filter(|_| more.adopted)
    });
    assert!(Process::find(script).is_some());
    assert_eq!(service.read("log"), "run\nfinish\n");
    sandbox.write("s/go", "");
    service.wait_until_it_holds("log", "finished\nrun\n");
}

/// A supervise that was killed is not asked what was wanted: the next one knows.
#[test]
fn fault_supervise_killed_what_is_to_be_down_stays_down() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo run >>log; exec sleep 1000");
    let mut first = service.supervise();
    service.wait_until_it_holds("log", "run\n");
    service.svc("-d");
    service.wait_until_down();
    first.kill();
    let mut second = service.supervise();
    service.svc("-x");
    assert_eq!(second.finish().told(), (0, "", ""));
    assert_eq!(service.read("log"), "run\n");
    // One that ended as told to leaves nothing behind: as with daemontools, the next one begins anew.
    let _third = service.supervise();
    service.wait_until_it_holds("log", "run\nrun\n");
}

/// Adoption keeps what is known of a group: the next supervise stops all of it.
#[test]
fn fault_supervise_killed_the_adopted_group_is_stopped_wholly() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "(trap '' TERM; exec sleep 1001) &\nexec sleep 1000");
    sandbox.write("s/service.toml", "[stop]\ngroup = true\n");
    let mut first = service.supervise();
    let pid = service.wait_until_up();
    sandbox
        .wait_until("the child runs", || Process::all().any(|p| p.parent == pid && p.words == "sleep 1001"));
    signal(first.pid(), Signal::SIGKILL);
    first.finish();
    let _second = service.supervise();
    service.svc("-d");
    service.wait_until_down();
    let left = || sandbox.leftovers().into_iter().filter(|p| p.words.starts_with("sleep")).count();
    sandbox.wait_until("none is left", || left() == 0);
}

/// How it ended nobody knows: whoever could have told was killed. It is no failure.
#[test]
fn fault_supervise_killed_while_start_runs_it_is_done_once_more() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo run >>log; exec sleep 1000");
    sandbox.script("s/start", "echo start >>log; until [ -e go ]; do sleep 0.02; done");
    let mut first = service.supervise();
    service.wait_until_it_holds("log", "start\n");
    first.kill();
    let _second = service.supervise();
    assert_eq!((state(&service), service.read("log").as_str()), (State::Starting, "start\n"));
    sandbox.write("s/go", "");
    service.wait_until_it_holds("log", "start\nstart\nrun\n");
    service.wait_until_up();
}

/// "`./finish` … runs after each exit": also after one that no supervise saw.
#[test]
fn fault_supervise_killed_and_the_service_ends_meanwhile_finish_runs() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo run >>log; exec sleep 1000");
    sandbox.script("s/start", "echo start >>log");
    sandbox.script("s/finish", "echo finish $1 $2 >>log");
    let mut first = service.supervise();
    service.wait_until_it_holds("log", "start\nrun\n");
    let pid = service.wait_until_up();
    first.kill();
    signal(pid, Signal::SIGKILL);
    sandbox.wait_until("the service has ended", || Process::find(pid).is_none());
    let _second = service.supervise();
    service.wait_until_another(pid);
    service.wait_until_it_holds("log", "start\nrun\nfinish -1 0\nrun\n");
}
