//! Services, directories and records that are not as one would wish.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use servicedir::status::{State, Status};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tests::Sandbox;
use tests::process::{Process, is_at_rest, lives, signal};
use tests::service::Service;
use unix::process::{Identity, Signal};

fn kill(sandbox: &Sandbox, pid: i32) {
    signal(pid, Signal::SIGKILL);
    sandbox.wait_until("the killed process is gone", || !lives(pid));
}

fn holder(service: &Service) -> i32 {
    servicedir::holder::recorded(&service.path("")).unwrap().pid
}

/// A service whose supervise and process were killed, a stranger, and a status that tells of the stranger.
fn record_of_a_stranger(sandbox: &Sandbox, service: &Service, change: impl Fn(&mut Identity)) -> i32 {
    let stranger = sandbox.start("sleep", &["1001"]).pid();
    let mut supervise = service.supervise();
    let pid = service.wait_until_up();
    supervise.kill();
    kill(sandbox, pid);
    let mut status = service.status().unwrap();
    let more = status.more.as_mut().unwrap();
    let mut identity = Identity::of(stranger).unwrap();
    change(&mut identity);
    // The boot is on record once.
    more.supervise.as_mut().unwrap().boot_id = identity.boot_id;
    (status.pid, more.identity) = (Some(stranger), Some(identity));
    fs::write(service.path("supervise/status"), status.to_bytes()).unwrap();
    assert_eq!(service.status(), Some(status));
    stranger
}

fn stranger_is_left_alone(service: &Service, stranger: i32) {
    let supervise = service.supervise();
    service.wait_until_another(stranger);
    assert!(!service.status().unwrap().more.unwrap().adopted);
    service.svc("-k");
    service.svc("-d");
    service.wait_until_down();
    assert!(lives(stranger));
    assert_eq!(supervise.err(), "");
}

/// "no window in which a recycled pid could be signalled": a pid counts with start time and boot id only.
#[test]
fn fault_recycled_pid_is_never_signalled() {
    let sandbox = Sandbox::new();
    let (start, boot) = (Service::sleeper(&sandbox, "start"), Service::sleeper(&sandbox, "boot"));
    let stranger = record_of_a_stranger(&sandbox, &start, |who| who.start_time -= 1);
    stranger_is_left_alone(&start, stranger);
    let stranger = record_of_a_stranger(&sandbox, &boot, |who| who.boot_id[0] ^= 1);
    stranger_is_left_alone(&boot, stranger);
}

/// "a forged status must not make root signal a stranger".
#[test]
fn fault_forged_status_signals_nobody() {
    let sandbox = Sandbox::new();
    for open in [".", "supervise", "supervise/status"] {
        let name = format!("s{}", open.len());
        let service = Service::sleeper(&sandbox, &name);
        let stranger = record_of_a_stranger(&sandbox, &service, |_| ());
        let path = service.path(open);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::set_permissions(&path, Permissions::from_mode(mode | 0o022)).unwrap();
        stranger_is_left_alone(&service, stranger);
    }
}

/// Debian's packages link `supervise` into /run: whose link and folder are ours, is believed as well.
#[test]
fn fault_supervise_killed_where_its_folder_is_a_link_the_service_is_adopted() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    sandbox.folder("run");
    sandbox.link("s/supervise", "../run/s");
    let mut first = service.supervise();
    let pid = service.wait_until_up();
    first.kill();
    let _second = service.supervise();
    sandbox.wait_until("it is adopted", || service.status().unwrap().more.unwrap().adopted);
    assert_eq!(service.pid(), Some(pid));
}

/// "adopts: status, signals, exit are handled as for an own child": its time to stop goes on, too.
#[test]
fn fault_supervise_killed_while_its_service_stops_the_grace_goes_on() {
    let sandbox = Sandbox::new();
    let run = "trap 'echo TERM >>signals' TERM\necho start >>starts\nwhile :; do sleep 0.02; done";
    let service = Service::new(&sandbox, "s", run);
    sandbox.write("s/service.toml", "[stop]\ngrace = \"10s\"\n");
    let mut first = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    let pid = service.wait_until_up();
    service.svc("-d");
    service.wait_until_it_holds("signals", "TERM\n");
    let more = || service.status().unwrap().more.unwrap();
    let kill_at = sandbox.wait_for("it is on record when it is killed", || more().kill_at);
    assert_eq!(more().state, State::Stopping);
    let told = sandbox.run("svstat", &["-v", "s"]).good();
    assert!(told.contains(", want down, stopping, killed in "), "{told}");
    first.kill();
    let mut second = service.supervise();
    sandbox.wait_until("it is adopted", || more().adopted);
    assert_eq!((more().kill_at, service.pid()), (Some(kill_at), Some(pid)));
    second.wait_until_it_says("supervise: warning: s did not end within 10 seconds: killing it\n");
    service.wait_until_down();
    assert!(!lives(pid));
}

/// "services … that double-fork": with daemontools' rules each start leaves one; it is seen in the count of starts.
#[test]
fn fault_service_that_forks_into_the_background_shows_in_the_count_of_restarts() {
    let sandbox = Sandbox::new();
    let run = "[ -e enough ] && exec sleep 1000\nsleep 1001 >/dev/null 2>&1 &\nexit 0";
    let service = Service::new(&sandbox, "s", run);
    let _supervise = service.supervise();
    let more = || service.status().unwrap().more.unwrap();
    sandbox.wait_until("it was started three times", || more().restarts >= 2);
    sandbox.write("s/enough", "");
    let running = |words: &str| sandbox.leftovers().iter().filter(|process| process.words == words).count();
    sandbox.wait_until("one stays", || running("sleep 1000") == 1);
    // All starts but the last one.
    sandbox.wait_until("each left one", || running("sleep 1001") as u32 == more().restarts);
}

/// "none left where `stop.group` … is set".
#[test]
fn fault_service_that_forks_into_the_background_leaves_nothing_with_a_group() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "sleep 1001 >/dev/null 2>&1 &\nexit 0");
    sandbox.write("s/service.toml", "[stop]\ngroup = true\n");
    let _supervise = service.supervise();
    sandbox
        .wait_until("it was started three times", || service.status().unwrap().more.unwrap().restarts >= 2);
    service.svc("-d");
    service.wait_until_down();
    sandbox.wait_until("nothing is left", || {
        !sandbox.leftovers().iter().any(|process| process.words == "sleep 1001")
    });
}

/// "that close their pipe": the logger meets no end of file, and reads what the next one writes.
#[test]
fn fault_service_that_closes_its_pipe_the_logger_goes_on() {
    let sandbox = Sandbox::new();
    let run = "[ -e second ] && { echo hello; exec sleep 1000; }\nexec >&-\ntouch second\nexec sleep 1000";
    let service = Service::new(&sandbox, "scan/s", run)
        .with_log("while read -r line; do echo \"$line\" >>lines; done; echo end >>lines");
    let log = Service::empty(&sandbox, "scan/s/log");
    let svscan = sandbox.start("svscan", &["scan"]);
    sandbox.wait_until("it has closed its pipe", || sandbox.has("scan/s/second"));
    let (first, logger) = (service.wait_until_up(), log.wait_until_up());
    service.svc("-k");
    service.wait_until_another(first);
    log.wait_until_it_holds("lines", "\n");
    assert_eq!((log.read("lines").as_str(), log.pid()), ("hello\n", Some(logger)));
    assert_eq!(svscan.err(), "");
}

/// "FIFOs … removed": the service goes on; the next supervise makes them again.
#[test]
fn fault_fifo_removed_the_next_supervise_makes_it_again() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let svscan = sandbox.start("svscan", &["scan"]);
    let pid = service.wait_until_up();
    sandbox.remove("scan/s/supervise/control");
    sandbox.remove("scan/s/supervise/ok");
    let done = sandbox.run("svc", &["-d", "scan/s"]);
    assert_eq!(done.told(), (0, "", "svc: warning: unable to control scan/s: file does not exist\n"));
    // The status is marked as right, and no knock is needed.
    service.wait_until_svstat("up (pid PID) N seconds");
    kill(&sandbox, holder(&service));
    sandbox.wait_until("another supervise is there", || service.is_supervised());
    service.wait_until_svstat("up (pid PID) N seconds");
    assert_eq!(service.pid(), Some(pid));
    service.svc("-d");
    service.wait_until_down();
    assert_eq!(svscan.err(), "");
}

/// "no ./run: one line, then rate-limited, state visible in svstat".
#[test]
fn fault_run_missing_is_said_once_and_visible_in_svstat() {
    let sandbox = Sandbox::new();
    let service = Service::empty(&sandbox, "scan/s");
    let svscan = sandbox.start("svscan", &["scan"]);
    sandbox.wait_until("it was tried three times", || {
        service.status().and_then(|status| status.more).is_some_and(|more| more.restarts >= 2)
    });
    assert_eq!(svscan.err(), "supervise: fatal: unable to start s/run: file does not exist\n");
    sandbox.wait_until("svstat shows it", || {
        let told = tests::mask::pids_and_times(&sandbox.run("svstat", &["-v", "scan/s"]).good());
        let (start, end) =
            (told.find(", starts in N seconds, restarts "), told.find(", last exit code 111\n"));
        told.starts_with("scan/s: down N seconds, normally up, want up, ") && start.is_some() && end.is_some()
    });
}

/// "a half-written service directory (`.new-…` then rename is the advice)".
#[test]
fn fault_half_written_service_directory_is_left_alone_until_it_is_whole() {
    let sandbox = Sandbox::new();
    sandbox.folder("scan");
    let svscan = sandbox.start("svscan", &["scan"]);
    Service::moved_in(&sandbox, "scan", "marker").wait_until_up();
    for name in ["scan/.new-whole", "elsewhere"] {
        let _ = Service::new(&sandbox, name, "echo hello; exec sleep 1000").with_log("exec cat >>lines");
    }
    // Made in place, in the order in which `cp -r` may come along: it has five seconds. svscan sees the half of it.
    let slow = Service::empty(&sandbox, "scan/slow");
    sandbox.wait_until("svscan has seen it", || is_at_rest(svscan.pid()));
    assert!(!sandbox.has("scan/.new-whole/supervise") && !sandbox.has("scan/slow/supervise"));
    for part in ["run", "log"] {
        fs::rename(sandbox.path("elsewhere").join(part), slow.path(part)).unwrap();
    }
    fs::rename(sandbox.path("scan/.new-whole"), sandbox.path("scan/whole")).unwrap();
    for service in [&Service::empty(&sandbox, "scan/whole"), &slow] {
        service.wait_until_it_holds("log/lines", "hello\n");
    }
    assert_eq!(svscan.err(), "");
}

/// "directories removed … under us": the scan directory itself. What runs goes on, and ends in order.
#[test]
fn fault_scan_directory_removed_what_runs_goes_on_and_ends_in_order() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    let pid = service.wait_until_up();
    // The shell opens run by its name.
    sandbox
        .wait_until("it sleeps", || Process::find(pid).is_some_and(|process| process.words == "sleep 1000"));
    let supervise = holder(&service);
    sandbox.remove("scan");
    svscan.signal(Signal::SIGHUP);
    // Started anew, it would have said so; what is gone may only be said to be gone.
    assert!(svscan.runs() && lives(pid) && lives(supervise));
    let done = svscan.terminate();
    assert_eq!((done.code, lives(pid), lives(supervise)), (Some(0), false, false), "{done:?}");
    assert!(done.err.lines().count() <= 2, "{done:?}");
}

/// A status that is too short, or that nobody may read, is no reason to start a second copy of what runs.
#[test]
fn fault_status_cut_short_is_said_and_written_anew() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let supervise = service.supervise();
    let pid = service.wait_until_up();
    // The last change that it writes by itself.
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    fs::write(service.path("supervise/status"), [0; 17]).unwrap();
    assert_eq!(service.svstat(), "unable to read supervise/status: bad format");
    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    assert_eq!((service.pid(), supervise.err().as_str()), (Some(pid), ""));
    assert!(Process::find(pid).is_some());
    assert!(Status::from_bytes(&fs::read(service.path("supervise/status")).unwrap()).is_some());
}
