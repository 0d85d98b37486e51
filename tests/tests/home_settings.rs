//! Settings that cannot be used, and what people are told before they do harm.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, assert_one_line, finish, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use unix::process::Signal;

fn status(home: &Home, name: &str) -> Value {
    let done = home.skynet(&["status", name, "--json"]);
    serde_json::from_str::<Value>(&done.out).unwrap()[0].clone()
}

/// "Where a file of settings cannot be used nothing is done: what runs goes on with the old ones."
#[test]
fn a_reload_with_settings_that_cannot_be_used_leaves_what_runs_alone() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let before = status(&home, "sizer")["pid"].clone();
    let file = home.folder.path().join("sizer/config.exo");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.clone() + "grace = \n").unwrap();
    let done = home.skynet(&["reload", "sizer"]);
    assert_one_line(&done, 1, "goes on with the old settings");
    assert!(done.err.contains("config.exo:"), "{done:?}");
    home.good(&["send", "sizer", "--wait", "-F", "text=a"]);
    assert_eq!(status(&home, "sizer")["pid"], before, "it runs on");
    fs::write(&file, good).unwrap();
    home.good(&["reload", "sizer"]);
    assert_ne!(status(&home, "sizer")["pid"], before);
}

/// "Let a participant finish its work and read its settings and code again": one that failed reads them now.
#[test]
fn a_reload_starts_at_once_what_waits_for_its_restart() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let service = home.folder.path().join("sizer/service.toml");
    fs::write(&service, "ready = \"fd:3\"\n[backoff]\nfirst = \"50ms\"\nfactor = 1000.0\nmax = \"1h\"\n")
        .unwrap();
    let code = home.folder.path().join("sizer/sizer.py");
    let good = fs::read_to_string(&code).unwrap();
    fs::write(&code, "import nothere\n").unwrap();
    let done = home.skynet(&["enable", "./sizer"]);
    assert!(done.code == Some(1) && done.err.contains("No module named 'nothere'"), "{done:?}");
    let told: Vec<_> = done.err.lines().skip(1).collect();
    assert!(told[0].starts_with("  exo: fatal: ") && told.len() < 7, "what it died of, once: {done:?}");
    wait_until("it waits", || status(&home, "sizer")["state"] == "restarting");
    fs::write(&code, good).unwrap();
    let told = home.good(&["reload", "sizer"]);
    assert!(told.contains("sizer is up"), "{told}");
}

/// "doctor (broker, permissions, users, disk, stale locks: what is wrong and what to do)"
#[test]
fn doctor_tells_of_a_broker_elsewhere_and_a_notify_command_that_are_not_there() {
    let home = Home::new();
    let up = home.skynet(&["local", "up", "--broker", "amqp://nobody@127.0.0.1:1/"]);
    assert_eq!(up.code, Some(0), "participants try again and again: {up:?}");
    assert!(up.err.contains("Connection refused") && up.err.contains("--broker embedded"), "{up:?}");
    home.good(&["config", "set", "notify.command", "[\"/no/such/program\"]"]);
    for name in ["one", "two"] {
        home.good(&["new", name]);
        home.good(&["enable", &format!("./{name}"), "--timeout", "30s"]);
    }
    let found = || home.skynet(&["doctor"]).out;
    wait_until("each says why it takes no work", || {
        found().matches("not consuming: cannot connect").count() == 2
    });
    let found = found();
    assert!(found.contains("skynet local up --broker embedded"), "{found}");
    assert_eq!(found.matches("/no/such/program is not there").count(), 1, "{found}");
}

/// "Exit codes: 0 all are up, 3 something is down, 4 no such participant", also where it is to go on for ever.
#[test]
fn watching_what_is_not_there_ends_and_tells_how_seconds_are_written() {
    let home = Home::up_without_broker();
    let mut child = home.start(&["status", "--watch", "1"]);
    wait_until("it has ended", || child.try_wait().unwrap().is_some());
    let done = finish(child);
    assert!(done.code == Some(4) && done.err.contains("--watch=1"), "{done:?}");
}

/// The template's "Runs the participant in this terminal, as supervise would: ./exo".
#[test]
fn a_participant_run_by_hand_works_in_the_home_of_who_runs_it() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    // The usual home, where no SKYNET_HOME is set.
    let usual = home.folder.path().join(".skynet");
    fs::create_dir(&usual).unwrap();
    fs::set_permissions(&usual, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(usual.join("boss.conf"), "[amqp]\nurl = \"amqp://nobody@127.0.0.1:1/\"\n").unwrap();
    let mut exo = Command::new(home.folder.path().join("sizer/exo"));
    let path = format!("{}:/usr/bin:/bin", home::bin().display());
    exo.env_clear().env("PATH", path).env("HOME", home.folder.path()).stdout(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        exo.uid(65534).gid(65534);
    }
    let child = exo.spawn().unwrap();
    wait_until("it has a state folder there", || usual.join("participants/sizer/live").is_dir());
    home::signal(&child, Signal::SIGTERM);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn the_settings_of_one_participant_are_checked_where_they_are_asked_for() {
    let home = Home::new();
    home.good(&["new", "good"]);
    home.good(&["new", "bad"]);
    fs::write(home.folder.path().join("bad/config.exo"), "graze = \"1s\"\n").unwrap();
    let told = home.good(&["config", "--check", "./good"]);
    assert!(told.contains("good/config.exo\n") && !told.contains("bad"), "{told}");
    let done = home.skynet(&["config", "./bad", "--check", "--json"]);
    let files: Value = serde_json::from_str(&done.out).unwrap();
    let error = files[1]["error"].as_str().unwrap();
    assert!(done.code == Some(1) && error.contains("bad/config.exo:1: unknown key"), "{done:?}");
    assert_eq!(home.skynet(&["config", "--check", "nobody"]).code, Some(1));
}

#[test]
fn a_test_has_the_variables_that_the_participant_will_have() {
    let home = Home::new();
    fs::create_dir_all(home.path("skynet")).unwrap();
    fs::write(home.path("skynet/skynet.env"), "FOR_ALL=one\nBOTH=one\n").unwrap();
    fs::write(home.path("skynet/sizer.env"), "BOTH=two\n").unwrap();
    home.good(&["new", "sizer"]);
    let folder = home.folder.path().join("sizer");
    fs::remove_file(folder.join("test_sizer.py")).unwrap();
    let handler = "import os\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        \
                   wid.fields.said = os.environ['FOR_ALL'] + os.environ['BOTH']\n";
    fs::write(folder.join("sizer.py"), handler).unwrap();
    let told = home.good(&["test", "./sizer"]);
    assert!(told.contains("said = \"onetwo\""), "{told}");
}
