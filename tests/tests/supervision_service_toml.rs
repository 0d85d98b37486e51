//! service.toml: what each setting does, and what is said where it is wrong.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use servicedir::status::{State, Want};
use std::fs;
use std::time::Duration;
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Running, Sandbox};
use unix::process::Signal;

/// A service that notes TERM and does not end.
const DEAF: &str = "trap 'echo TERM >>signals' TERM\necho start >>starts\nwhile :; do sleep 0.02; done";

fn with<'a>(sandbox: &'a Sandbox, run: &str, settings: &str) -> (Service<'a>, Running) {
    let service = Service::new(sandbox, "s", run);
    sandbox.write("s/service.toml", settings);
    let supervise = service.supervise();
    (service, supervise)
}

fn state(service: &Service<'_>) -> State {
    service.status().and_then(|status| status.more).map_or(State::Down, |more| more.state)
}

/// "services that ignore TERM (grace then KILL, said so when configured)".
#[test]
fn fault_service_that_ignores_term_is_killed_after_its_grace_and_that_is_said() {
    let sandbox = Sandbox::new();
    let (service, supervise) = with(&sandbox, DEAF, "[stop]\ngrace = \"5s\"\n");
    service.wait_until_it_holds("starts", "start\n");
    let pid = service.wait_until_up();
    service.svc("-d");
    service.wait_until_down();
    assert!(!lives(pid));
    assert_eq!(service.read("signals"), "TERM\n");
    let said = "supervise: warning: s did not end within 5 seconds: killing it\n";
    assert_eq!(supervise.err(), said);
}

/// "Without service.toml: no grace, no KILL".
#[test]
fn fault_service_that_ignores_term_is_left_alone_without_a_grace() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", DEAF);
    let supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    let pid = service.wait_until_up();
    service.svc("-d");
    service.wait_until_it_holds("signals", "TERM\n");
    assert_eq!((state(&service), service.pid()), (State::Stopping, Some(pid)));
    service.svc("-k");
    service.wait_until_down();
    assert_eq!(supervise.err(), "");
}

/// "group stop leaves none of the group", also when the children ignore TERM and the service ends first.
#[test]
fn fault_background_children_of_a_service_are_stopped_with_its_group() {
    let sandbox = Sandbox::new();
    let run = "(trap '' TERM; sleep 1001 & sleep 1002) & (trap '' TERM; exec sleep 1003) &\nexec sleep 1000";
    let (service, _supervise) = with(&sandbox, run, "[stop]\ngroup = true\ngrace = \"5s\"\n");
    service.wait_until_up();
    let sleeps = || {
        Process::all()
            .filter(|p| p.words.starts_with("sleep 100"))
            .filter(|p| {
                fs::read_link(format!("/proc/{}/cwd", p.pid)).is_ok_and(|dir| dir == service.path(""))
            })
            .count()
    };
    sandbox.wait_until("all children run", || sleeps() == 4);
    service.svc("-d");
    service.wait_until_down();
    sandbox.wait_until("none is left", || sleeps() == 0);
}

/// "`ready = "fd:3"`: a newline on it means ready".
#[test]
fn a_service_is_ready_when_it_says_so_and_not_before() {
    let sandbox = Sandbox::new();
    let run =
        "echo $SKYNET_NOTIFY_FD >number\nwhile [ ! -e go ]; do sleep 0.02; done\necho >&5\nexec sleep 1000";
    let (service, _supervise) = with(&sandbox, run, "ready = \"fd:5\"\n");
    service.wait_until_it_holds("number", "5\n");
    let ready = || service.status().unwrap().more.unwrap().ready;
    assert_eq!(ready(), None);
    sandbox.write("s/go", "");
    sandbox.wait_until("it is ready", || ready().is_some());
}

/// "absent: ready when up for 1 s".
#[test]
fn a_service_that_never_says_so_is_ready_after_a_second() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    let status = service.status().unwrap();
    assert!(status.since.age_at(status.more.unwrap().ready.unwrap()).as_millis() >= 990);
}

/// "exit codes: finished, stays down | failed for good, stays down".
#[test]
fn exit_codes_keep_a_service_down_until_it_is_wanted_again() {
    let sandbox = Sandbox::new();
    let (service, _supervise) =
        with(&sandbox, "echo start >>starts; exit $(cat code)", "[exit]\ndone = [3]\npermanent = [4]\n");
    sandbox.write("s/code", "3");
    sandbox.wait_until("it has finished", || {
        service.status().unwrap().want == Want::Nothing && state(&service) == State::Down
    });
    sandbox.write("s/code", "4");
    service.svc("-u");
    sandbox.wait_until("it has failed for good", || state(&service) == State::Failed);
    assert_eq!(service.status().unwrap().want, Want::Nothing);
}

/// The time between starts grows, shows in the status, and a letter is obeyed meanwhile.
#[test]
fn the_backoff_grows_and_an_operator_need_not_wait_for_its_end() {
    let sandbox = Sandbox::new();
    let settings = "[backoff]\nfirst = \"10ms\"\nfactor = 100.0\nmax = \"10m\"\n";
    let (service, _supervise) =
        with(&sandbox, "echo start >>starts; [ -e stay ] && exec sleep 1000; exit 1", settings);
    let left = || {
        let until = service.status()?.more?.backoff_until?.to_system_time()?;
        until.duration_since(std::time::SystemTime::now()).ok()
    };
    sandbox.wait_until("it waits for minutes", || left().is_some_and(|left| left.as_secs() > 60));
    assert_eq!(service.read("starts").lines().count(), 3);
    sandbox.write("s/stay", "");
    service.svc("-u");
    service.wait_until_up();
}

#[test]
fn limits_hold_for_the_service() {
    let sandbox = Sandbox::new();
    let (service, _supervise) = with(
        &sandbox,
        "ulimit -n >limits; ulimit -c >>limits\nexec sleep 1000",
        "[limits]\nnofile = 77\ncore = 0\n",
    );
    service.wait_until_it_holds("limits", "77\n0\n");
}

/// "Every wrong key/type/range: one line with file, line, key, expected; nearest known key; and the consequence:
/// the service goes on with its last good settings".
#[test]
fn fault_wrong_settings_are_named_and_the_last_good_ones_hold() {
    let sandbox = Sandbox::new();
    let (service, supervise) = with(&sandbox, DEAF, "[stop]\ngrace = \"200ms\"\n");
    service.wait_until_it_holds("starts", "start\n");
    sandbox.write("s/service.toml", "[stop]\ngrase = \"1h\"\ngroup = 7\n");
    service.svc("-r");
    service.wait_until_it_holds("starts", "start\nstart\n");
    let consequence = "(the service goes on with the settings it had)";
    let said = format!(
        "supervise: warning: s did not end within 0.2 seconds: killing it\n\
         service-config: warning: s/service.toml:2: unknown key \"stop.grase\" (did you mean \"stop.grace\"?) {consequence}\n\
         service-config: warning: s/service.toml:3: stop.group takes true or false, not 7 {consequence}\n"
    );
    assert_eq!(supervise.err(), said);
    let pid = service.wait_until_up();
    service.svc("-d");
    service.wait_until_down();
    assert!(!lives(pid));
}

/// What is no file is wrong as well, and keeps nobody from running.
#[test]
fn settings_that_cannot_be_read_are_named_in_the_words_of_daemontools() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    sandbox.folder("s/service.toml");
    let supervise = service.supervise();
    service.wait_until_up();
    let said = "service-config: warning: s/service.toml: cannot be read: is a directory (the service goes on with the \
                settings it had)\n";
    assert_eq!(supervise.err(), said);
}

/// An s6 service directory: notification-fd, timeout-kill, down-signal.
#[test]
fn the_files_of_s6_are_understood() {
    let sandbox = Sandbox::new();
    let run = "trap 'echo INT >>signals' INT\necho >&4\nwhile :; do sleep 0.02; done";
    let service = Service::new(&sandbox, "s", run);
    for (file, text) in [("notification-fd", "4\n"), ("timeout-kill", "5000\n"), ("down-signal", "SIGINT\n")]
    {
        sandbox.write(format!("s/{file}"), text);
    }
    let _supervise = service.supervise();
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    service.svc("-d");
    service.wait_until_down();
    assert_eq!(service.read("signals"), "INT\n");
}

/// "signal = "TERM"": another one may be what asks the service to stop.
#[test]
fn stop_signal_is_what_asks_the_service_to_stop() {
    let sandbox = Sandbox::new();
    let run = "for s in TERM USR1; do trap \"echo $s >>signals; [ $s = TERM ] || exit\" $s; done
echo start >>starts\nwhile :; do sleep 0.02; done";
    let (service, _supervise) = with(&sandbox, run, "[stop]\nsignal = \"USR1\"\n");
    service.wait_until_it_holds("starts", "start\n");
    service.svc("-d");
    service.wait_until_down();
    assert_eq!(service.read("signals"), "USR1\n");
}

/// "group = true … whole process group (own session/group for the child)".
#[test]
fn with_a_group_the_service_leads_a_session_and_group_of_its_own() {
    let sandbox = Sandbox::new();
    let (service, _supervise) = with(&sandbox, "exec sleep 1000", "[stop]\ngroup = true\n");
    let pid = nix::unistd::Pid::from_raw(service.wait_until_up());
    assert_eq!(nix::unistd::getpgid(Some(pid)), Ok(pid));
    assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid));
}

/// When the next start is due, counted from when the service went down.
fn backoff(service: &Service<'_>) -> Option<Duration> {
    let status = service.status()?;
    status.more?.backoff_until?.to_system_time()?.duration_since(status.since.to_system_time()?).ok()
}

/// "max": the time between two starts grows no further.
#[test]
fn the_backoff_grows_to_its_max_and_no_further() {
    let sandbox = Sandbox::new();
    let settings = "[backoff]\nfirst = \"10ms\"\nfactor = 100.0\nmax = \"400ms\"\n";
    let (service, _supervise) = with(&sandbox, "echo start >>starts; exit 1", settings);
    // By the factor alone the fifth start would be due after 100 seconds, the eighth after years.
    service.wait_until_it_holds("starts", &"start\n".repeat(8));
    let longest = sandbox.wait_for("it waits", || backoff(&service));
    assert!(longest <= Duration::from_millis(400), "{longest:?}");
}

/// "jitter": chance lengthens the time, by its share at most, and for each service otherwise.
#[test]
fn jitter_lengthens_the_backoff_by_its_share_at_most() {
    let sandbox = Sandbox::new();
    let waits = |name: &str, jitter: &str| {
        let service = Service::new(&sandbox, name, "exit 1");
        let settings = format!("[backoff]\nfirst = \"100h\"\njitter = {jitter}\n");
        sandbox.write(format!("{name}/service.toml"), settings);
        let _supervise = service.supervise();
        // Before its first start it waits as well, for nothing.
        sandbox
            .wait_for("it waits", || backoff(&service).map(|wait| wait.as_secs()).filter(|wait| *wait > 600))
    };
    let hours = |n: u64| n * 3600;
    let plain = waits("plain", "0.0");
    assert!((hours(99)..=hours(100)).contains(&plain), "{plain}");
    let of_chance: Vec<_> = ["a", "b", "c"].map(|name| waits(name, "0.5")).into();
    assert!(of_chance.iter().all(|wait| (hours(99)..=hours(150)).contains(wait)), "{of_chance:?}");
    // Within three minutes of each other by chance: once in three thousand for two of them, never all in practice.
    assert!(of_chance.iter().any(|wait| wait.abs_diff(of_chance[0]) > 180), "{of_chance:?}");
}

/// "reset": after so long a run failures are forgotten: its own end counts as none, and those that follow anew.
#[test]
fn a_run_as_long_as_reset_makes_failures_forgotten() {
    let sandbox = Sandbox::new();
    let run = "echo start >>starts; [ -e stay ] || exit 1; while [ ! -e end ]; do sleep 0.02; done; exit 2";
    let tell = sandbox.script("tell", "echo \"$SKYNET_EVENT $SKYNET_COUNT\" >>told");
    let settings = format!(
        "[backoff]\nfirst = \"10ms\"\nfactor = 2.0\nmax = \"100h\"\nreset = \"4s\"\n\
         [notify]\ncommand = [\"{}\"]\n",
        tell.display()
    );
    let (service, _supervise) = with(&sandbox, run, &settings);
    service.wait_until_it_holds("starts", &"start\n".repeat(4));
    sandbox.write("s/stay", "");
    service.wait_until_it_holds("told", "recovered 0\n");
    sandbox.write("s/end", "");
    // The crash may be passed over where the command is still busy with what was before: the latest counts.
    sandbox.wait_until("the second failure after it is told", || {
        let told = service.read("told");
        told.split_once("recovered 0\n").is_some_and(|(_, after)| after.ends_with("backoff 2\n"))
    });
}

/// "`[limits]` … rlimits": each by its name, soft and hard.
#[test]
fn each_limit_has_its_name_and_holds() {
    let sandbox = Sandbox::new();
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let column = |limits: &str, title: &str, number: usize| -> String {
        let line = limits.lines().find_map(|line| line.strip_prefix(title)).unwrap();
        line.split_whitespace().nth(number).unwrap().to_owned()
    };
    let table: [(&str, &str, u64); 16] = [
        ("as", "Max address space", 5_000_000_000),
        ("core", "Max core file size", 1001),
        ("cpu", "Max cpu time", 1002),
        ("data", "Max data size", 4_000_000_000),
        ("fsize", "Max file size", 1_000_003),
        ("locks", "Max file locks", 1004),
        ("memlock", "Max locked memory", 65_000),
        ("msgqueue", "Max msgqueue size", 1006),
        ("nice", "Max nice priority", 7),
        ("nofile", "Max open files", 78),
        ("nproc", "Max processes", 10_009),
        ("rss", "Max resident set", 1_000_010),
        ("rtprio", "Max realtime priority", 11),
        ("rttime", "Max realtime timeout", 10_000_012),
        ("sigpending", "Max pending signals", 1013),
        ("stack", "Max stack size", 8_000_014),
    ];
    // No more than the machine allows: not everybody may raise a hard limit.
    let table = table.map(|(name, title, value)| {
        let hard = column(&own, title, 1).parse().unwrap_or(u64::MAX);
        (name, title, value.min(hard))
    });
    let lines: String = table.iter().map(|(name, _, value)| format!("{name} = {value}\n")).collect();
    let (service, supervise) = with(&sandbox, "exec sleep 1000", &format!("[limits]\n{lines}"));
    let pid = service.wait_until_up();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, title, value) in table {
        let found = [0, 1].map(|number| column(&limits, title, number));
        assert_eq!(found, [value.to_string(), value.to_string()], "{name}\n{limits}");
    }
    assert_eq!(supervise.err(), "");
}

/// "where service.toml exists and has changed, it runs the helper `service-config DIR` before a start": and only there.
#[test]
fn service_config_runs_only_where_a_service_toml_is_and_has_changed() {
    let sandbox = Sandbox::new();
    let supervise = sandbox.copy_program_to("supervise", "bin/supervise");
    let helper = sandbox.programs().path("service-config");
    sandbox.script("bin/service-config", &format!("echo run >>runs\nexec {} \"$@\"", helper.display()));
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = sandbox.start(&supervise, &["s"]);
    let mut pid = service.wait_until_up();
    let mut restarted = || {
        signal(pid, Signal::SIGKILL);
        pid = service.wait_until_another(pid);
        service.read("runs").lines().count()
    };
    assert_eq!(restarted(), 0, "without a service.toml");
    sandbox.write("s/service.toml", "[stop]\ngrace = \"1s\"\n");
    assert_eq!((restarted(), restarted(), restarted()), (1, 1, 1), "it has come, and is as it was");
    sandbox.write("s/service.toml", "[stop]\ngrace = \"10s\"\n");
    assert_eq!((restarted(), restarted()), (2, 2), "it has changed");
    sandbox.remove("s/service.toml");
    assert_eq!(restarted(), 2, "it is gone");
}
