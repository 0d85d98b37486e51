//! The wall clock is set while the programs run: "Clock jumps change no deadline; status labels follow the wall clock".
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{lines, names, old_logs};
use servicedir::status::{More, State};
use std::time::{Duration, Instant, SystemTime};
use tests::process::{Process, is_at_rest, lives, signal};
use tests::service::Service;
use tests::{Programs, Sandbox, WallClock};
use unix::clock::monotonic;
use unix::process::{Exit, Signal};
use unix::tai64n::Tai64n;

/// Ten years.
const FAR: i64 = 10 * 365 * 86_400;

fn more(service: &Service) -> More {
    service.status().unwrap().more.unwrap()
}

/// The seconds that `svstat` tells.
fn seconds(sandbox: &Sandbox, service: &Service) -> i64 {
    let line = sandbox.run("svstat", &[service.name()]).good();
    let before = line.split(" seconds").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"))
}

/// The time since boot at which each run began, as it wrote that down itself.
fn starts(service: &Service) -> Vec<Duration> {
    let text = service.read("starts");
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| Duration::from_secs_f64(line.parse().unwrap())).collect()
}

#[test]
fn fault_clock_jumps_during_a_backoff_the_service_is_started_in_time() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::new(&sandbox, "s", "read up idle </proc/uptime\necho $up >>starts\nexit 1");
    sandbox.write("s/service.toml", "[backoff]\nfirst = \"2s\"\n");
    let _supervise = service.supervise();
    for off in [FAR, -FAR, 0] {
        let (begun, due) = sandbox.wait_for("it waits for its next start", || {
            let more = more(&service);
            // Before the first start it waits as well, for no time.
            let due = more.starts_at.filter(|_| more.last_exit.is_some())?;
            Some((more.restarts as usize + 1, due))
        });
        clock.set_off(off);
        sandbox.wait_until("it is started again", || starts(&service).len() > begun);
        // /proc/uptime has hundredths, cut off.
        let next = starts(&service)[begun] + Duration::from_millis(10);
        assert!(next >= due, "started at {next:?}, due at {due:?}");
    }
}

/// The rest that `svstat -v` tells is that until the start, whatever clock svstat has.
#[test]
fn fault_clock_jumps_during_a_backoff_svstat_tells_the_rest_of_it() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::new(&sandbox, "s", "exit 1");
    sandbox.write("s/service.toml", "[backoff]\nfirst = \"1h\"\n");
    let _supervise = service.supervise();
    sandbox.wait_until("it waits for its next start", || {
        let more = more(&service);
        more.state == State::Backoff && more.last_exit.is_some()
    });
    for off in [0, FAR, -FAR] {
        clock.set_off(off);
        let line = sandbox.run("svstat", &["-v", "s"]).good();
        let left = line.split("starts in ").nth(1).unwrap().split(' ').next().unwrap();
        // Half an hour is time enough for this test on any machine.
        assert!((1800..=3600).contains(&left.parse::<u64>().unwrap()), "{line}");
    }
}

#[test]
fn fault_clock_jumps_during_the_grace_the_service_is_killed_in_time() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::new(&sandbox, "s", "trap '' TERM\necho >deaf\nwhile :; do sleep 0.02; done");
    sandbox.write("s/service.toml", "[stop]\ngrace = \"2s\"\n");
    let supervise = service.supervise();
    for off in [FAR, -FAR] {
        service.wait_until_it_holds("deaf", "\n");
        let asked = monotonic();
        service.svc("-d");
        sandbox.wait_until("it stops", || more(&service).kill_at.is_some() || service.pid().is_none());
        clock.set_off(off);
        service.wait_until_down();
        assert!(monotonic() >= asked + Duration::from_secs(2));
        assert_eq!(more(&service).last_exit, Some(Exit::Signal(Signal::SIGKILL as i32)));
        sandbox.remove("s/deaf");
        service.svc("-u");
        service.wait_until_up();
    }
    assert!(supervise.err().contains("s did not end within 2 seconds: killing it\n"));
}

/// "All bounded by the longest grace": a service whose supervise has promised to kill it later than svscan would (after
/// 90 s) is left to its supervise.
#[test]
fn fault_term_to_svscan_a_grace_longer_than_its_own_is_waited_for() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::new(&sandbox, "scan/s", "trap '' TERM\necho >deaf\nwhile :; do sleep 0.1; done");
    sandbox.write("scan/s/service.toml", "[stop]\ngrace = \"300s\"\n");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_it_holds("deaf", "\n");
    svscan.signal(Signal::SIGTERM);
    sandbox.wait_until("the service is to stop", || more(&service).kill_at.is_some());
    let supervise = more(&service).supervise.unwrap().pid;
    clock.pass(150);
    svscan.signal(Signal::SIGHUP);
    sandbox.wait_until("svscan has looked at its clock, and waits again", || is_at_rest(svscan.pid()));
    assert!(lives(supervise));
    // By the clock of the supervise alone: however long that takes, svscan has time.
    svscan.signal(Signal::SIGSTOP);
    sandbox.wait_until("svscan is stopped", || Process::find(svscan.pid()).is_some_and(|p| p.state == 'T'));
    clock.pass(301);
    signal(supervise, Signal::SIGCHLD);
    sandbox.wait_until("the supervise has ended", || !lives(supervise));
    clock.pass(150);
    svscan.signal(Signal::SIGCONT);
    let said = "supervise: warning: s did not end within 300 seconds: killing it\n";
    assert_eq!(svscan.finish().told(), (1, "", said));
}

#[test]
fn fault_clock_jumps_under_svscan_services_are_started_and_end_in_time() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let first = Service::sleeper(&sandbox, "scan/first").with_log("exec cat >/dev/null");
    let mut svscan = sandbox.start("svscan", &["scan"]);
    first.wait_until_up();
    let supervise = |service: &Service| service.status()?.more?.supervise.map(|who| who.pid);
    for (off, name) in [(FAR, "second"), (-FAR, "third")] {
        clock.set_off(off);
        let new = Service::moved_in(&sandbox, "scan", name);
        for service in [&first, &new] {
            let pid = service.wait_until_up();
            let killed = supervise(service).unwrap();
            signal(killed, Signal::SIGKILL);
            sandbox.wait_until("another supervise has it", || supervise(service) != Some(killed));
            assert_eq!(service.pid(), Some(pid));
        }
    }
    svscan.signal(Signal::SIGTERM);
    assert_eq!(svscan.finish().told(), (0, "", ""));
    sandbox.wait_until_nothing_is_left();
}

#[test]
fn fault_clock_jumps_while_svc_waits_it_gives_up_in_time() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::sleeper(&sandbox, "s").down();
    let _supervise = service.supervise();
    for off in [FAR, -FAR] {
        let begun = Instant::now();
        let mut svc = sandbox.start("svc", &["-wu", "-T", "2000", "s"]);
        let waits = |process: Process| {
            process.descriptors().iter().any(|(_, target)| target.ends_with("anon_inode:inotify"))
        };
        sandbox.wait_until("svc waits, or has ended", || {
            Process::find(svc.pid()).is_some_and(waits) || !svc.runs()
        });
        clock.set_off(off);
        let done = svc.finish();
        assert!(done.code.is_some_and(|code| code != 0), "{done:?}");
        assert!(begun.elapsed() >= Duration::from_secs(2), "{done:?}");
    }
}

#[test]
fn fault_clock_jumps_labels_follow_it_and_the_future_counts_as_zero() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let service = Service::sleeper(&sandbox, "s").down();
    let _supervise = service.supervise();
    for off in [FAR, -FAR] {
        clock.set_off(off);
        let before = SystemTime::now();
        service.svc("-u");
        service.wait_until_up();
        let since = service.status().unwrap().since.to_system_time().unwrap();
        let shifted = |time: SystemTime| {
            let far = Duration::from_secs(off.unsigned_abs());
            if off > 0 { time + far } else { time - far }
        };
        assert!((shifted(before)..=shifted(SystemTime::now())).contains(&since));
        assert!((0..FAR).contains(&seconds(&sandbox, &service)));
        clock.set_off(off - 1000);
        assert_eq!(seconds(&sandbox, &service), 0);
        clock.set_off(off + FAR);
        assert!(seconds(&sandbox, &service) >= FAR);
        service.svc("-d");
        service.wait_until_down();
    }
}

/// "Gives a file the name of an old log of this moment, never the name of another."
#[test]
fn fault_clock_jumps_between_rotations_no_line_is_lost() {
    let sandbox = WallClock::sandbox();
    let clock = WallClock::of(&sandbox);
    let mut multilog = sandbox.start_fed("multilog", &["s4096", "n1000", "./log"]);
    // While a file is being renamed its lines are missing.
    let kept = || {
        let files =
            names(&sandbox, "log").into_iter().filter(|name| name.starts_with('@') || name == "current");
        let mut texts: Vec<_> = files.map(|name| sandbox.read(format!("log/{name}"))).collect();
        // Their order is that of the clock.
        texts.sort();
        texts.concat()
    };
    sandbox.wait_until("multilog runs", || sandbox.has("log/current"));
    let mut counts = vec![];
    for (number, off) in (0..).zip([0, FAR, -FAR, 0]) {
        clock.set_off(off);
        multilog.feed(lines(number * 300 + 1, number * 300 + 300));
        sandbox.wait_until("all is written, once", || kept() == lines(1, number * 300 + 300));
        counts.push(old_logs(&sandbox, "log").len());
    }
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(counts.is_sorted_by(|before, after| before < after), "each time some were added: {counts:?}");
    assert!(kept() == lines(1, 1200));
    // The labels are of three times, ten years apart.
    let label = |name: &String| u64::from_str_radix(&name[1..17], 16).unwrap();
    let labels: Vec<_> = old_logs(&sandbox, "log").iter().map(label).collect();
    let far = labels.windows(2).filter(|pair| pair[1] - pair[0] > FAR as u64 / 2).count();
    assert_eq!(far, 2, "{labels:x?}");
}

/// "Those from before go first": what is new stays.
#[test]
fn fault_clock_set_back_the_logs_from_before_are_removed_first() {
    for programs in [Programs::ours(), Programs::theirs()] {
        let ours = programs.are_ours();
        let sandbox = Sandbox::with(programs);
        let ahead = |number: u64| {
            let time = SystemTime::now() + Duration::from_secs(FAR as u64 + number);
            format!("{}.s", String::from_utf8_lossy(&Tai64n::from(time).label()))
        };
        let before = [ahead(1), ahead(2)];
        for name in &before {
            sandbox.write(format!("log/{name}"), "before\n");
        }
        sandbox.run_fed("multilog", &["s4096", "n3", "./log"], lines(1, 60));
        let old = old_logs(&sandbox, "log");
        assert_eq!(old.len(), 2);
        // What daemontools has just written is gone.
        assert_eq!(old == before, !ours);
        assert_eq!(sandbox.read(format!("log/{}", old[0])).starts_with(&lines(1, 2)), ours);
    }
}
