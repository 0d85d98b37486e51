//! `skynet local up|down|status`: broker and svscan of a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, assert_one_line, finish, wait_until};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use unix::process::Signal;

fn port(home: &Home) -> u16 {
    let text = fs::read_to_string(home.path("broker/broker.toml")).unwrap();
    let listen = text.lines().find(|line| line.starts_with("listen")).unwrap();
    listen.trim_end_matches('"').rsplit(':').next().unwrap().parse().unwrap()
}

/// "`skynet local up` starts broker and svscan …, prints what it made and where, returns when both are ready,
/// and says what to do next; calling it twice is harmless."
#[test]
fn local_up_starts_broker_and_svscan_says_where_they_are_and_may_be_called_twice() {
    let home = Home::new();
    let before = home.skynet(&["local", "status"]);
    assert_eq!(before.code, Some(3), "{before:?}");

    let out = home.good(&["local", "up"]);
    for word in ["svscan", "broker", "boss.conf", "service", "log", "Next: skynet new NAME"] {
        assert!(out.contains(word), "{word:?} is not in {out}");
    }
    assert!(TcpListener::bind(("127.0.0.1", port(&home))).is_err(), "the broker listens when up returns");
    let (svscan, processes) = (home.svscan(), home.settled());

    assert!(home.good(&["local", "up"]).contains("up already"));
    assert_eq!(home.svscan(), svscan);
    assert_eq!(home.processes(), processes, "the second one started nothing");
    assert!(home.good(&["local", "status"]).contains(&format!("pid {svscan}")));
}

#[test]
fn the_password_is_for_the_owner_only_and_port_and_password_are_kept() {
    let home = Home::new();
    home.good(&["local", "up"]);
    let read = |path: &str| fs::read_to_string(home.path(path)).unwrap();
    let before = (read("boss.conf"), read("broker/broker.toml"));
    for (path, mode) in [("boss.conf", 0o600), ("broker/broker.toml", 0o600), ("broker", 0o700)] {
        let found = fs::metadata(home.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    home.good(&["local", "down"]);
    home.good(&["local", "up"]);
    assert_eq!((read("boss.conf"), read("broker/broker.toml")), before);
}

#[test]
fn two_local_up_at_the_same_time_start_one_svscan() {
    let home = Home::new();
    let both = [home.start(&["local", "up"]), home.start(&["local", "up"])];
    for done in both.map(finish) {
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    home.settled();
    wait_until("there is one svscan", || home.svscans() == 1);
}

/// "Two homes on one machine do not disturb each other (free ports, chosen once and kept)."
#[test]
fn two_homes_do_not_disturb_each_other() {
    let (one, other) = (Home::new(), Home::new());
    let both = [one.start(&["local", "up"]), other.start(&["local", "up"])];
    for done in both.map(finish) {
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert_ne!(port(&one), port(&other));
    let processes = other.settled();
    one.good(&["local", "down"]);
    assert!(one.processes().is_empty());
    assert_eq!(other.processes(), processes);
    other.good(&["local", "status"]);
}

#[test]
fn local_down_leaves_no_process_and_may_be_called_twice() {
    let home = Home::new();
    assert!(home.good(&["local", "down"]).contains("nothing to stop"));
    home.good(&["local", "up"]);
    home.service("sleeper", "echo here; exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.good(&["local", "down"]);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(home.good(&["local", "down"]).contains("down already"));
    let status = home.skynet(&["local", "status"]);
    assert!(status.code == Some(3) && !status.out.contains("unsupervised"), "{status:?}");
    assert!(status.out.contains("broker        down (skynet local up starts it"), "{status:?}");
    let reload = home.skynet(&["reload", "sleeper"]);
    assert!(reload.code == Some(1) && reload.err.contains("start it with: skynet local up"), "{reload:?}");
    home.good(&["local", "up"]);
    wait_until("the enabled service is up again", || home.skynet(&["status", "sleeper"]).code == Some(0));
}

/// Who removes the broker is told how it comes back, and `local up` brings it, with what it has kept.
#[test]
fn a_broker_that_was_stopped_or_removed_comes_back_by_local_up() {
    let home = Home::new();
    home.good(&["local", "up"]);
    let broker_listens = || home.skynet(&["queues"]).code == Some(0);
    for verb in ["stop", "remove"] {
        let done = home.good(&[verb, "skynet-broker"]);
        assert_eq!(done.contains("(again: skynet local up)"), verb == "remove", "{done}");
        let status = home.skynet(&["local", "status"]);
        let said = status.out.lines().any(|line| {
            line.trim_start().starts_with("broker") && line.ends_with("(skynet local up starts it)")
        });
        assert!(status.code == Some(3) && said && !broker_listens(), "{status:?}");
        assert!(home.good(&["local", "up"]).contains("is up already"));
        assert!(broker_listens(), "{verb}");
        home.good(&["local", "status"]);
    }
    let left = fs::read_dir(home.path("service")).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["skynet-broker"]);
}

/// "`local up` when the port is taken": one clear line and the right exit code.
#[test]
fn a_port_that_is_taken_gets_one_line_that_names_it_and_nothing_is_started() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["local", "down"]);
    let taken = port(&home);
    let _stranger = TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let done = home.skynet(&["local", "up"]);
    assert_eq!(done.code, Some(111), "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    for word in [&format!("port {taken} is taken"), "broker.toml", "--port"] {
        assert!(done.err.contains(word), "{done:?}");
    }
    assert!(home.processes().is_empty());

    // One that cannot be had is not kept either.
    let before = fs::read_to_string(home.path("boss.conf")).unwrap();
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let other = stranger.local_addr().unwrap().port().to_string();
    assert_one_line(&home.skynet(&["local", "up", "--port", &other]), 111, &format!("port {other} is taken"));
    assert_one_line(&home.skynet(&["local", "up", "--port", "0"]), 100, "0 is not in 1..");
    assert_eq!(fs::read_to_string(home.path("boss.conf")).unwrap(), before);

    let free = tests::broker::free_port();
    home.good(&["local", "up", "--port", &free.to_string()]);
    assert_eq!(port(&home), free);
    assert!(fs::read_to_string(home.path("boss.conf")).unwrap().contains(&format!(":{free}/")));
}

#[test]
fn after_kill_9_of_svscan_down_stops_all_that_is_left() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.kill(home.svscan());
    assert_eq!(home.skynet(&["local", "status"]).code, Some(3));
    assert!(!home.processes().is_empty(), "supervises live on");
    home.good(&["local", "down"]);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[test]
fn after_kill_9_of_svscan_up_recovers_with_one_copy_of_everything() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    let count = home.settled().len();
    home.kill(home.svscan());
    home.good(&["local", "up"]);
    wait_until("the service is up", || home.skynet(&["status"]).code == Some(0));
    wait_until("there is one copy of everything", || home.processes().len() == count);
}

/// "A home that a broken older run left behind (stale pids, sockets, half-written files)."
#[test]
fn a_home_in_which_everything_was_killed_comes_up_again() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    let count = home.settled().len();
    home.kill(home.svscan());
    wait_until("nothing is left", || {
        let left = home.processes();
        left.iter().for_each(|one| tests::process::signal(one.pid, Signal::SIGKILL));
        left.is_empty()
    });
    fs::write(home.path("run/svscan.new"), "12").unwrap();
    let status = home.skynet(&["local", "status"]);
    assert!(status.code == Some(3) && status.out.contains("is down\n"), "{status:?}");
    let both = [home.start(&["local", "up"]), home.start(&["local", "up"])];
    for done in both.map(finish) {
        assert_eq!((done.code, done.out.contains("killed")), (Some(0), false), "{done:?}");
    }
    wait_until("the service is up", || home.skynet(&["status"]).code == Some(0));
    wait_until("there is one copy of everything", || home.processes().len() == count);
    home.good(&["local", "down"]);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[test]
fn local_down_kills_what_ignores_term_when_the_user_presses_ctrl_c_twice() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.service("stubborn", "trap '' TERM; echo deaf; while :; do sleep 1; done");
    home.good(&["enable", "./stubborn"]);
    wait_until("it hears nothing", || home.good(&["log", "stubborn"]).contains("deaf"));
    let mut child = home.start(&["local", "down"]);
    let mut said = home::Lines::of(child.stdout.take().unwrap());
    let interrupt = || home::signal(&child, Signal::SIGINT);
    wait_until("it was told to stop", || home.skynet(&["status"]).out.contains("stopping"));
    interrupt();
    said.until("^C again kills");
    interrupt();
    said.until("had to be killed: stubborn");
    assert_eq!(finish(child).code, Some(1));
    assert!(home.processes().is_empty());
}

#[test]
fn a_home_whose_boss_conf_names_another_broker_starts_none_of_its_own() {
    let home = Home::new();
    fs::create_dir(home.root()).unwrap();
    let conf = "[amqp]\nurl = \"amqp://guest:guest@127.0.0.1:1/\"\n";
    fs::write(home.path("boss.conf"), conf).unwrap();
    assert!(home.good(&["local", "up"]).contains("not ours"));
    assert_eq!(fs::read_to_string(home.path("boss.conf")).unwrap(), conf);
    assert!(!home.path("service/skynet-broker").exists() && !home.path("broker").exists());
    home.good(&["local", "status"]);
}

#[test]
fn a_boss_conf_that_cannot_be_used_is_named_with_its_line_and_nothing_is_started() {
    let home = Home::new();
    fs::create_dir(home.root()).unwrap();
    for (text, says) in [
        ("[amqp]\nurl = secret\n", "boss.conf:2:"),
        ("[amqp]\nulr = \"amqp://a:secret@h/v\"\n", "(did you mean \"url\"?)"),
    ] {
        fs::write(home.path("boss.conf"), text).unwrap();
        let done = home.skynet(&["local", "up"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains(says) && !done.err.contains("secret"), "{done:?}");
        assert!(home.processes().is_empty());
    }
}
