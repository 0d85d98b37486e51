//! The stories of who runs participants, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, wait_until};
use serde_json::Value;
use std::fs;

fn up(services: &[&str]) -> Home {
    let home = Home::new();
    fs::create_dir(home.root()).unwrap();
    fs::write(home.path("boss.conf"), "[amqp]\nurl = \"amqp://nobody@127.0.0.1:1/\"\n").unwrap();
    home.good(&["local", "up"]);
    for service in services {
        home.service(service, "exec sleep 1000");
        home.good(&["enable", &format!("./{service}")]);
    }
    home
}

fn status(home: &Home, name: &str) -> Value {
    let done = home.skynet(&["status", name, "--json"]);
    serde_json::from_str::<Value>(&done.out).unwrap()[0].clone()
}

/// "I want to be able to start, stop and reconfigure them from the command line (including which start at boot
/// time)."
#[test]
fn i_want_to_start_stop_and_reconfigure_them_from_the_command_line() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let before = status(&home, "sizer");
    assert_eq!(
        (&before["state"], &before["enabled"], &before["queue_consumers"]),
        (&"up".into(), &true.into(), &1.into())
    );

    let bad = home.skynet(&["config", "sizer", "set", "grace", "soon"]);
    assert!(bad.code == Some(1) && bad.err.contains("nothing was changed"), "{bad:?}");
    let told = home.good(&["config", "sizer", "set", "grace", "20s"]);
    assert!(told.contains("skynet reload sizer"), "{told}");
    let file = fs::read_to_string(home.folder.path().join("sizer/config.exo")).unwrap();
    assert!(file.contains("grace = \"20s\"") && file.contains("# name "), "comments stay: {file}");
    let settings: Value = serde_json::from_str(&home.good(&["config", "sizer", "--json"])).unwrap();
    let grace = settings.as_array().unwrap().iter().find(|one| one["key"] == "grace").unwrap();
    assert!(
        grace["value"] == "\"20s\"" && grace["file"].as_str().unwrap().ends_with("config.exo"),
        "{grace}"
    );
    home.good(&["reload", "sizer"]);
    assert_ne!(status(&home, "sizer")["pid"], before["pid"]);

    home.good(&["disable", "sizer"]);
    assert_eq!(status(&home, "sizer")["enabled"], false);
    home.good(&["remove", "sizer"]);
    assert_eq!(home.skynet(&["status", "sizer"]).code, Some(4));
}

/// "If a crash happens the participant should restart in a robust manner."
#[test]
fn if_a_crash_happens_the_participant_restarts() {
    let home = up(&["one", "other"]);
    let before = status(&home, "one")["pid"].clone();
    assert!(home.good(&["kill", "one"]).contains("was killed"));
    wait_until("it runs again", || {
        status(&home, "one")["state"] == "up" && status(&home, "one")["pid"] != before
    });
    home.good(&["stop", "o*"]);
    assert_eq!(
        (home.skynet(&["status", "one"]).code, home.skynet(&["status", "other"]).code),
        (Some(3), Some(3))
    );
    assert!(home.good(&["once", "one"]).contains("runs once"));
}

/// "What is wrong and what to do."
#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let home = up(&["one"]);
    fs::write(home.folder.path().join("one/config.exo"), "grcae = \"5s\"\n").unwrap();
    home.good(&["local", "down"]);
    let done = home.skynet(&["doctor"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for part in [
        "svscan: it does not run",
        "skynet local up",
        "cannot connect to amqp://127.0.0.1:1/",
        "everybody may read",
    ] {
        assert!(done.out.contains(part), "{part:?} is not in {}", done.out);
    }
}

/// "The broker away: whatever needs no broker still works."
#[test]
fn what_needs_no_broker_works_without_one() {
    let home = up(&["one"]);
    fs::write(home.folder.path().join("one/config.exo"), "# nothing\n").unwrap();
    home.good(&["enable", "one"]);
    let done = home.skynet(&["status"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.starts_with("skynet: note: no lengths of queues: "), "{done:?}");
    for words in [&["queues"][..], &["send", "one"], &["wi", "status", "w1"], &["register", "one"]] {
        let done = home.skynet(words);
        assert_eq!((done.code, done.err.lines().count()), (Some(111), 1), "{words:?}: {done:?}");
    }
    home.good(&["restart", "one"]);
    home.good(&["log", "one"]);
    home.good(&["history"]);
}
