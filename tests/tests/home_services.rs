//! `skynet enable|disable|start|stop|restart|status|log` on services that need no broker.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, executable, finish, wait_until};
use servicedir::status::Want;
use std::fs;
use std::process::Stdio;

/// A home that is up, on a broker that is never asked.
fn up() -> Home {
    let home = Home::new();
    fs::create_dir(home.root()).unwrap();
    fs::write(home.path("boss.conf"), "[amqp]\nurl = \"amqp://nobody@127.0.0.1:1/\"\n").unwrap();
    home.good(&["local", "up"]);
    home
}

fn pid(home: &Home, name: &str) -> u64 {
    let rows: serde_json::Value = serde_json::from_str(&home.good(&["status", name, "--json"])).unwrap();
    rows[0]["pid"].as_u64().unwrap()
}

/// "A small real directory whose `run`, … `log/run` are links to the participant's files."
#[test]
fn enable_makes_a_directory_of_links_and_returns_when_the_service_is_up() {
    let home = up();
    let dir = home.service("sleeper", "echo here; exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    for file in ["run", "log/run"] {
        let link = fs::read_link(home.path("service/sleeper").join(file)).unwrap();
        assert_eq!(link, fs::canonicalize(dir.join(file)).unwrap());
    }
    let before = pid(&home, "sleeper");
    home.good(&["enable", "./sleeper"]);
    home.good(&["enable", "sleeper"]);
    assert_eq!(pid(&home, "sleeper"), before, "enabling twice is harmless");
    home.good(&["restart", "sleeper"]);
    assert_ne!(pid(&home, "sleeper"), before);
    wait_until("its log is written", || home.good(&["log", "sleeper"]).matches("here").count() == 2);
}

#[test]
fn enable_before_local_up_takes_effect_then() {
    let home = Home::new();
    home.service("sleeper", "exec sleep 1000");
    assert!(home.good(&["enable", "./sleeper"]).contains("skynet local up"));
    fs::write(home.path("boss.conf"), "[amqp]\nurl = \"amqp://nobody@127.0.0.1:1/\"\n").unwrap();
    home.good(&["local", "up"]);
    wait_until("it is up", || home.skynet(&["status", "sleeper"]).code == Some(0));
}

#[test]
fn a_service_that_does_not_stay_up_is_reported_with_the_last_lines_of_its_log() {
    let home = up();
    home.service("broken", "echo 'no such thing as a frobnicator' >&2; exit 111");
    let mut done = home.skynet(&["enable", "./broken"]);
    // What it says takes its own way to the log, and may be there only the next time.
    wait_until("its last lines are told", || {
        let told = done.err.contains("frobnicator");
        if !told {
            done = home.skynet(&["enable", "./broken"]);
        }
        told
    });
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.starts_with("skynet: broken ends as soon as it is started"), "{done:?}");
    assert!(done.err.contains("log/broken/current"), "{done:?}");
    assert!(done.err.contains("\n  no such thing as a frobnicator"), "{done:?}");
}

/// "`disable` adds `down` and stops nothing; `stop` of a disabled one … takes it away."
#[test]
fn disable_stops_nothing_and_stop_of_a_disabled_one_takes_it_away() {
    let home = up();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.good(&["stop", "sleeper"]);
    assert_eq!(home.skynet(&["status", "sleeper"]).code, Some(3));
    home.good(&["start", "sleeper"]);
    home.good(&["disable", "sleeper"]);
    assert!(home.path("service/sleeper/down").exists());
    assert!(home.good(&["status", "sleeper"]).contains("disabled"), "disabled, but up");
    home.good(&["stop", "sleeper"]);
    assert!(!home.path("service/sleeper").exists());
    let left: Vec<_> = fs::read_dir(home.path("service")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(home.processes().iter().all(|process| !process.words.starts_with("supervise")));

    home.good(&["start", "./sleeper"]);
    assert!(home.path("service/sleeper/down").exists(), "one that is not enabled is made with down");
    home.good(&["status", "sleeper"]);
}

#[test]
fn a_disabled_service_stays_down_at_the_next_start() {
    let home = up();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.good(&["disable", "sleeper"]);
    home.good(&["local", "down"]);
    home.good(&["local", "up"]);
    let down = || home.skynet(&["status", "sleeper"]);
    wait_until("it is supervised", || !down().out.contains("unsupervised"));
    assert!(down().out.contains("down") && down().code == Some(3), "{:?}", down());
    home.good(&["enable", "sleeper"]);
    home.good(&["status", "sleeper"]);
}

/// "`skynet` with an unknown name (nearest named)."
#[test]
fn an_unknown_name_gets_one_line_with_the_nearest() {
    let home = up();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    for (words, code) in [
        (&["status", "sleper"][..], 4),
        (&["stop", "sleper"], 1),
        (&["start", "sleper"], 1),
        (&["restart", "sleper"], 1),
        (&["disable", "sleper"], 1),
        (&["enable", "sleper"], 1),
        (&["log", "sleper"], 1),
    ] {
        let done = home.skynet(words);
        assert_eq!(done.code, Some(code), "{words:?}: {done:?}");
        assert_eq!(done.err.lines().count(), 1, "{words:?}: {done:?}");
        assert!(done.err.contains("did you mean \"sleeper\"?"), "{words:?}: {done:?}");
    }
}

/// "No such service; run missing or not executable."
#[test]
fn a_folder_that_cannot_be_run_gets_one_line_and_nothing_is_made() {
    let home = up();
    let folder = |name: &str| home.folder.path().join(name);
    fs::create_dir_all(folder("empty")).unwrap();
    fs::create_dir_all(folder("idle")).unwrap();
    fs::write(folder("idle/run"), "#!/bin/sh\n").unwrap();
    fs::create_dir_all(folder("bad.name")).unwrap();
    executable(folder("bad.name/run"), "#!/bin/sh\n");
    for (word, code, line) in [
        ("./empty", 1, "run: it is missing"),
        ("./idle", 1, "chmod +x"),
        ("./bad.name", 100, "it has '.' in it"),
        ("./nowhere", 1, "there is no folder ./nowhere"),
        ("nowhere", 1, "no participant \"nowhere\""),
    ] {
        let done = home.skynet(&["enable", word]);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.lines().count() == 1 && done.err.contains(line), "{done:?}");
    }
    assert_eq!(fs::read_dir(home.path("service")).unwrap().count(), 0);
}

/// "Configuration with an unknown key, a wrong type …: file and line named."
#[test]
fn a_configuration_that_cannot_be_used_is_named_with_its_line_and_nothing_is_made() {
    let home = up();
    let dir = home.service("sleeper", "exec sleep 1000");
    for (text, says) in [
        ("\nquue = \"x\"\n", "config.exo:2: unknown key \"quue\" (did you mean \"queue\"?)"),
        ("\n\ninstances = \"3\"\n", "config.exo:3: "),
    ] {
        fs::write(dir.join("config.exo"), text).unwrap();
        let done = home.skynet(&["enable", "./sleeper"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.lines().count() == 1 && done.err.contains(says), "{done:?}");
        assert!(!home.path("service/sleeper").exists());
    }
}

#[test]
fn logs_are_merged_by_time_with_names_and_filtered_by_wfid() {
    let home = up();
    home.service("one", "echo '[wf-1] first'; echo '[wf-2] other'; exec sleep 1000");
    home.good(&["enable", "./one"]);
    wait_until("the first has spoken", || home.good(&["log"]).lines().count() == 2);
    home.service("two", "printf '[wf-1] \\377 second\\n'; exec sleep 1000");
    home.good(&["enable", "./two"]);
    wait_until("all is written", || home.good(&["log"]).lines().count() == 3);
    let out = home.good(&["log", "--wfid", "wf-1"]);
    let texts: Vec<_> = out.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(texts, ["one: [wf-1] first", "two: [wf-1] \u{fffd} second"]);
    let raw = home.command(&["log", "two"]).output().unwrap().stdout;
    assert!(raw.ends_with(b"Z [wf-1] \xff second\n"), "bytes pass through: {raw:?}");
    assert!(home.good(&["log", "one", "-n", "1"]).ends_with("Z [wf-2] other\n"));
}

#[test]
fn log_follow_loses_no_line_and_repeats_none_across_rotations() {
    let home = up();
    home.service("counter", "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo \"number $i of a line that is long\"; done; exec sleep 1000");
    home.good(&["enable", "./counter"]);
    let mut child = home.start(&["log", "-f", "counter"]);
    let mut lines = Lines::of(child.stdout.take().unwrap());
    lines.until("number 500 ");
    home.good(&["restart", "counter"]);
    for number in 1..=500 {
        let line = lines.next();
        assert!(line.contains(&format!("number {number} ")), "expected {number}: {line}");
    }
    let rotated = fs::read_dir(home.path("log/counter")).unwrap().count();
    assert!(rotated > 4, "the log was rotated meanwhile: {rotated}");
    home::signal(&child, unix::process::Signal::SIGTERM);
    finish(child);
}

#[test]
fn log_ends_quietly_when_nobody_reads_any_more() {
    let home = up();
    home.service(
        "chatty",
        "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo \"number $i\"; done; exec sleep 1000",
    );
    home.good(&["enable", "./chatty"]);
    wait_until("all is written", || home.good(&["log"]).contains("number 300"));
    for words in [&["log"][..], &["log", "-f"]] {
        let mut child = home.command(words).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        lines.until("number 30");
        drop(lines);
        home.good(&["restart", "chatty"]);
        let done = finish(child);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{words:?}");
    }
}

/// "Instances `NAME@2 … NAME@N` (config `instances`) are further such directories."
#[test]
fn instances_are_further_service_directories_and_go_when_there_are_fewer() {
    let home = up();
    let dir = home.service("sleeper", "exec sleep 1000");
    fs::write(dir.join("config.exo"), "instances = 3\n").unwrap();
    let out = home.good(&["enable", "./sleeper"]);
    assert!(out.contains("cannot connect to amqp://"), "there is none here, which is said: {out}");
    let services = || {
        let names = fs::read_dir(home.path("service")).unwrap().flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(services(), ["sleeper", "sleeper@2", "sleeper@3"]);
    home.good(&["stop", "sleeper@2"]);
    assert_eq!(home.skynet(&["status", "sleeper@2"]).code, Some(3));
    home.good(&["status", "sleeper@3"]);

    fs::write(dir.join("config.exo"), "instances = 1\n").unwrap();
    home.good(&["enable", "sleeper"]);
    assert_eq!(services(), ["sleeper"]);
}

#[test]
fn a_participant_is_known_by_the_name_that_its_settings_give_it_too() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "folder"]);
    fs::write(
        home.folder.path().join("folder/config.exo"),
        "name = \"sizer\"\nqueue = \"sizes\"\ncode = \"folder.py\"\n",
    )
    .unwrap();
    home.good(&["enable", "./folder"]);
    wait_until("it is in the log", || home.good(&["log", "sizer"]).contains("sizer: consuming from sizes"));
    assert!(home.skynet(&["status", "sizer"]).out.contains("\nfolder "));
    assert!(home.good(&["stop", "sizer"]).contains("folder is down"));
    assert_eq!(home.skynet(&["log", "resizer"]).code, Some(1));
}

/// Two who enable the same participant at the same time: both have it enabled, and nothing half is left.
#[test]
fn who_enables_what_another_is_just_enabling_has_it_enabled() {
    let home = Home::new();
    home.service("one", "exec sleep 1000");
    for _ in 0..5 {
        let all: Vec<_> = (0..6).map(|_| home.start(&["enable", "./one"])).collect();
        for done in all.into_iter().map(finish) {
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        let names = fs::read_dir(home.path("service")).unwrap().flatten().map(|entry| entry.file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["one"]);
        home.good(&["remove", "one"]);
    }
}

/// The same when it is taken away: one does it, the others find it done, and nothing of it goes on unseen.
#[test]
fn who_removes_what_another_is_just_removing_finds_it_gone() {
    let home = up();
    home.service("one", "exec sleep 1000");
    for _ in 0..3 {
        home.good(&["enable", "./one"]);
        let all: Vec<_> = (0..4).map(|_| home.start(&["remove", "one"])).collect();
        let all: Vec<_> = all.into_iter().map(finish).collect();
        for done in &all {
            let late = done.code == Some(1) && done.err.contains("no participant \"one\"");
            assert!(done.code == Some(0) || late, "{all:?}");
        }
        assert_eq!(fs::read_dir(home.path("service")).unwrap().count(), 0, "{all:?}");
        wait_until("nothing of it runs", || home.processes().len() == 1);
    }
}

/// Who stops a service stops it, also where another command starts it meanwhile.
#[test]
fn what_is_started_while_it_is_stopped_is_stopped() {
    let home = up();
    let go = home.folder.path().join("go");
    let script = format!("trap '' TERM; while ! [ -e '{}' ]; do sleep 0.05; done", go.display());
    home.service("slow", &script);
    home.good(&["enable", "./slow"]);
    let stop = home.start(&["stop", "slow", "--timeout", "60s"]);
    let state = || home.skynet(&["status", "slow"]).out;
    wait_until("it is stopping", || state().contains("stopping"));
    servicedir::client::send(&home.path("service/slow"), b"u").unwrap();
    let stops_again = || servicedir::client::status(&home.path("service/slow")).unwrap().want == Want::Down;
    wait_until("it is told to stop again", stops_again);
    fs::write(go, "").unwrap();
    let done = finish(stop);
    assert!(done.code == Some(0) && done.out.contains("slow is down"), "{done:?}");
}
