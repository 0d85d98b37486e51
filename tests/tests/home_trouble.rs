//! Trouble, and what people are told of it: one clear line each.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::terminal::OnTerminal;
use home::{Home, assert_one_line, bin, finish, wait_until};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// "A home that a broken older run left behind (stale pids, sockets, half-written files)."
#[test]
fn a_home_that_a_broken_run_left_behind_comes_up() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    home.good(&["send", "sizer", "--wait", "-F", "a=1"]);
    home.good(&["local", "down"]);
    let write = |path: &str, text: &[u8]| {
        let path = home.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // The pid of somebody else, who began at another time.
    write("run/svscan", format!("{} 12 {}\n", std::process::id(), "00".repeat(16)).as_bytes());
    write("run/svscan.new", b"123");
    write("boss.new", b"[amqp");
    write("service/.sizer.gone-99999999/run", b"#!/bin/sh\n");
    write("service/.other.new-99999999/run", b"");
    write("service/sizer/supervise/status.new", b"\x40");
    let status = home.path("service/sizer/supervise/status");
    let mut stale = fs::read(&status).unwrap();
    // "Up", with a pid that is another program's.
    stale[12..16].copy_from_slice(&std::process::id().to_le_bytes());
    fs::write(&status, &stale).unwrap();
    write("participants/sizer/journal/left", b"half a record");
    write("participants/sizer/failed/.half/workitem.json", b"{");
    write("participants/sizer/live/1.json", b"{\"pro");
    write("log/sizer/state", b"x");
    drop(std::os::unix::net::UnixListener::bind(home.path("run/socket")).unwrap());

    assert_eq!(home.skynet(&["local", "status"]).code, Some(3), "a stale record is none");
    home.good(&["local", "up"]);
    wait_until("it is up", || home.skynet(&["status", "sizer"]).code == Some(0));
    home.good(&["send", "sizer", "--wait", "--wfid", "after", "-F", "a=1"]);
    let left = fs::read_dir(home.path("service")).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.as_encoded_bytes().starts_with(b".")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(home.skynet(&["doctor"]).out.contains("sizer: up"), "{:?}", home.skynet(&["doctor"]));
    home.good(&["failed"]);
    wait_until("the history is whole", || home.good(&["history"]).contains("after"));
}

/// "Names with slashes, spaces, dots": one line each, and nothing is made of them.
#[test]
fn strange_names_get_one_line() {
    let home = Home::up_without_broker();
    home.service("one", "exec sleep 1000");
    home.good(&["enable", "./one"]);
    for name in ["a b", "a.b", "a/../b", ".hidden", "..", "-dash", "a\nb", "größe"] {
        for words in
            [&["new", "--"][..], &["enable", "--"], &["config", "--"], &["test", "--"], &["register", "--"]]
        {
            let done = home.skynet(&[words, &[name]].concat());
            let one =
                done.err.lines().count() == 1 && done.err.starts_with("skynet: ") && done.out.is_empty();
            assert!(done.code != Some(0) && done.code != Some(101) && one, "{words:?} {name:?}: {done:?}");
        }
        for (words, code) in [
            (&["status", "--"][..], 4),
            (&["stop", "--"], 1),
            (&["kill", "--"], 1),
            (&["log", "--"], 1),
            (&["history", "--"], 1),
            (&["failed", "--"], 1),
            (&["notify", "test", "--"], 1),
        ] {
            assert_one_line(&home.skynet(&[words, &[name]].concat()), code, "no participant");
        }
        assert_one_line(&home.skynet(&["wi", "status", "--", &format!("{name} ")]), 100, "is no wfid");
        assert_one_line(&home.skynet(&["send", "x", &format!("--wfid={name} ")]), 100, "is no wfid");
    }
    for queue in ["", "a\nb", "amq.x", &"q".repeat(256)] {
        assert_one_line(&home.skynet(&["send", queue]), 100, "is no queue");
        assert_one_line(&home.skynet(&["register", "one", "--queue", queue]), 100, "is no queue");
    }
    assert_eq!(fs::read_dir(home.path("service")).unwrap().count(), 1);
    assert!(!home.folder.path().join("b").exists());
    home.good(&["local", "down"]);
    let url = format!("amqp://a:b@127.0.0.1:1/{}", "v".repeat(256));
    assert_one_line(&home.skynet(&["local", "up", "--broker", &url]), 0, "a vhost has 255 bytes at most");
}

/// "Logs that are huge, binary or gone."
#[test]
fn logs_that_are_huge_binary_or_gone_are_no_trouble() {
    let home = Home::up_without_broker();
    let text =
        "printf 'a\\0b\\377\\033[31m red [w1]\\n'; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end";
    let dir = home.service("odd", &format!("{text}; exec sleep 1000"));
    let log = "#!/bin/sh\nexec multilog t s16000000 \"$SKYNET_HOME/log/odd\"\n";
    home::executable(dir.join("log/run"), log);
    home.good(&["enable", "./odd"]);
    wait_until("all is written", || home.good(&["log", "odd", "-n", "1"]).ends_with("end\n"));
    let raw = home.command(&["log", "odd", "--wfid", "w1"]).output().unwrap().stdout;
    assert!(raw.ends_with(b"a\0b\xff\x1b[31m red [w1]\n"), "bytes pass through: {raw:?}");
    let json = home.good(&["log", "odd", "--wfid", "w1", "--json"]);
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(line["text"], "a\0b\u{fffd}\u{1b}[31m red [w1]");
    // What would play with the terminal is shown there, not done.
    let shown = OnTerminal::start(&home, &["log", "odd", "--wfid", "w1"], 80).finish();
    assert!(!shown.screen.contains("\x1b[31m") && shown.screen.contains("red [w1]"), "{shown:?}");

    // A file that no multilog wrote, without labels and without an end of line.
    fs::create_dir(home.path("log/foreign")).unwrap();
    let mut foreign = fs::File::create(home.path("log/foreign/current")).unwrap();
    foreign.write_all(b"no label\n@4000 half a label\n\xff\xfe\0\0 no end").unwrap();
    let done = home.skynet(&["log", "foreign"]);
    assert!(done.code == Some(0) && done.out.starts_with("no label\n@4000 half"), "{done:?}");

    fs::remove_dir_all(home.path("log/odd")).unwrap();
    let gone = home.skynet(&["log", "odd"]);
    assert_eq!((gone.code, gone.out.as_str()), (Some(0), ""), "{gone:?}");
    assert!(gone.err.lines().count() == 1 && gone.err.contains("nothing is logged of"), "{gone:?}");
    fs::create_dir(home.path("log/blind")).unwrap();
    let empty = home.skynet(&["log", "blind"]);
    assert!(empty.code == Some(0) && empty.err.contains("nothing is logged of blind in "), "{empty:?}");
    fs::create_dir(home.path("log/blind/current")).unwrap();
    assert_one_line(&home.skynet(&["log", "blind"]), 111, "log/blind");
}

/// "history.db locked or damaged (moved aside, said so, work goes on)."
#[test]
fn a_damaged_history_is_moved_aside_and_a_locked_one_keeps_nobody_from_working() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    home.good(&["stop", "sizer"]);
    let db = home.path("participants/sizer/history.db");
    for side in ["history.db-wal", "history.db-shm"] {
        let _ = fs::remove_file(home.path("participants/sizer").join(side));
    }
    let damaged = || {
        let done = home.skynet(&["history", "sizer"]);
        assert_one_line(&done, 1, "it is damaged; the participant moves it aside");
    };
    // It is there from the first row on.
    let _ = fs::remove_file(&db);
    fs::create_dir(&db).unwrap();
    damaged();
    fs::remove_dir(&db).unwrap();
    fs::write(&db, "this is no database, and long enough to see that ".repeat(99)).unwrap();
    damaged();
    home.good(&["start", "sizer"]);
    home.good(&["send", "sizer", "--wait", "--wfid", "w1"]);
    wait_until("there is a new history", || home.skynet(&["history", "sizer"]).out.contains("w1"));
    wait_until("the log says so", || home.good(&["log", "sizer", "--grep", "history"]).contains("aside"));
    let kept = fs::read_dir(db.parent().unwrap()).unwrap().flatten();
    assert!(
        kept.map(|entry| entry.file_name().into_string().unwrap())
            .any(|name| name.starts_with("history.db."))
    );

    let hold = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                db.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.read()\n";
    let mut holder = Command::new("python3");
    holder.args(["-c", hold]).arg(&db).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    home::Lines::of(holder.stdout.take().unwrap()).until("held");
    home.good(&["send", "sizer", "--wait", "--wfid", "w2"]);
    home.good(&["history", "sizer"]);
    drop(holder.stdin.take());
    finish(holder);
    wait_until("what waited is written", || home.good(&["history", "sizer"]).contains("w2"));
}

/// "`local up` twice at the same time" while another takes everything down: each has its turn.
#[test]
fn up_and_down_at_the_same_time_take_turns() {
    let home = Home::new();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.good(&["local", "up"]);
    let all = [["local", "up"], ["local", "down"], ["local", "up"], ["local", "up"]];
    for done in all.map(|words| home.start(&words)).map(finish) {
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    home.good(&["local", "up"]);
    wait_until("it is up", || home.skynet(&["status", "sleeper"]).code == Some(0));
    home.settled();
    wait_until("there is one svscan", || home.svscans() == 1);
    assert!(Path::new(&home.path("run/svscan")).exists());
}

/// Services are for their owner to see and to control: others are told so, and not that nothing runs.
#[test]
fn who_may_not_see_services_is_told_so() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can be somebody else
    }
    let home = Home::up_without_broker();
    home.service("one", "exec sleep 1000");
    home.good(&["enable", "./one"]);
    let program = home.folder.path().join("skynet");
    assert!(Command::new("cp").arg(bin().join("skynet")).arg(&program).status().unwrap().success());
    let as_nobody = |words: &[&str]| {
        let plain = home.command(words);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(words);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        let mut command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        command.stdin.take();
        finish(command)
    };
    let status = as_nobody(&["status"]);
    assert!(status.code == Some(3) && status.out.contains("unknown"), "{status:?}");
    assert!(status.err.contains("for their owner and root to see"), "{status:?}");
    for words in [
        &["stop", "one"][..],
        &["start", "one"],
        &["restart", "one"],
        &["kill", "one"],
        &["reload", "one"],
        &["disable", "one"],
    ] {
        let done = as_nobody(words);
        assert!(done.code == Some(111) && done.err.lines().count() == 1, "{words:?}: {done:?}");
        assert!(done.err.contains("Permission denied"), "{words:?}: {done:?}");
    }
    home.good(&["status", "one"]);
}

/// A home that is no folder, and what a broken run left of the broker's settings: what is wrong, where, what to do.
#[test]
fn a_home_that_is_no_folder_and_half_settings_of_the_broker_get_one_line() {
    let home = Home::new();
    fs::write(home.root(), "no folder").unwrap();
    let place = home.root().display().to_string();
    assert_one_line(
        &home.skynet(&["local", "up"]),
        111,
        &format!("{place}: something is there that is no folder"),
    );
    let doctor = home.skynet(&["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("is no folder, so no SkyNET"), "{doctor:?}");
    fs::remove_file(home.root()).unwrap();

    home.good(&["local", "up"]);
    home.good(&["local", "down"]);
    let toml = home.path("broker/broker.toml");
    fs::write(&toml, "").unwrap();
    let line =
        format!("cannot use {0}: line 1: missing field `listen` (repair it, or: rm {0}; ", toml.display());
    for words in [["local", "up"], ["local", "status"]] {
        assert_one_line(&home.skynet(&words), 1, &line);
    }
    fs::remove_file(&toml).unwrap();
    home.good(&["local", "up", "--broker", "embedded"]);

    home.good(&["local", "down"]);
    fs::remove_dir_all(home.path("participants")).unwrap();
    fs::write(home.path("participants"), "no folder").unwrap();
    let doctor = home.skynet(&["doctor"]);
    let said = format!("cannot read {}: Not a directory", home.path("participants").display());
    assert!(doctor.out.lines().any(|line| line.ends_with(&said)), "{doctor:?}");
}

/// A path that is no UTF-8 can stand in no settings and in no JSON: it is refused where it would be begun with.
#[test]
fn a_path_that_is_no_utf8_gets_one_line() {
    let home = Home::new();
    let odd = home.folder.path().join(OsStr::from_bytes(b"x\xffy"));
    for words in [
        &["local", "up"][..],
        &["local", "up", "--json"],
        &["local", "status", "--json"],
        &["status"],
        &["send", "q"],
    ] {
        let done = finish(home.command(words).env("SKYNET_HOME", &odd).spawn().unwrap());
        assert_one_line(&done, 100, "x\u{fffd}y cannot be a home: its path is no UTF-8");
    }
    assert!(!odd.exists(), "nothing was made");

    fs::create_dir(&odd).unwrap();
    let new = finish(home.command(&["new", "sizer", "--json"]).arg(&odd).spawn().unwrap());
    let told: Value = serde_json::from_str(&new.out).unwrap();
    assert!(told["folder"].as_str().unwrap().ends_with("x\u{fffd}y/sizer"), "{new:?}");
    for verb in ["enable", "start", "test", "run"] {
        let done = finish(home.command(&[verb]).arg(odd.join("sizer")).spawn().unwrap());
        assert!(done.code != Some(0) && done.code != Some(101), "{verb}: {done:?}");
        let done = finish(home.command(&[verb, "./sizer"]).current_dir(&odd).spawn().unwrap());
        assert_one_line(&done, 1, "x\u{fffd}y/sizer: its path is no UTF-8");
    }
    let mut set = home.command(&["config", "./sizer", "set", "grace", "3s", "--json"]);
    let set = finish(set.current_dir(&odd).spawn().unwrap());
    assert!(set.code == Some(0) && serde_json::from_str::<Value>(&set.out).is_ok(), "{set:?}");
}

/// What is said to be the next step works as it stands there.
#[test]
fn a_path_with_blanks_is_shown_as_a_shell_takes_it() {
    let home = Home::up_without_broker();
    let new = home.good(&["new", "sizer", "a  b"]);
    assert!(new.ends_with("  skynet test 'a  b/sizer'\n  skynet enable 'a  b/sizer'\n"), "{new}");
    let place = home.folder.path().join("a  b/one").display().to_string();
    fs::rename(home.service("one", "exec sleep 1000"), &place).unwrap();
    let start = home.good(&["start", "a  b/one"]);
    assert!(start.contains("(for that: skynet enable 'a  b/one')"), "{start}");
    let remove = home.good(&["remove", "one"]);
    assert!(remove.contains(&format!("(again: skynet enable '{place}')")), "{remove}");
}

/// What cannot be read of a process keeps nobody from seeing the rest.
#[test]
fn a_failed_store_that_cannot_be_read_leaves_the_log_to_see() {
    let home = Home::up_without_broker();
    home.service("one", "echo w1 is here; exec sleep 1000");
    home.good(&["enable", "./one"]);
    wait_until("it is in the log", || home.good(&["log", "one"]).contains("w1 is here"));
    fs::create_dir_all(home.path("participants/one")).unwrap();
    fs::write(home.path("participants/one/failed"), "no folder").unwrap();
    let traced = home.skynet(&["trace", "w1"]);
    assert!(traced.code == Some(0) && traced.out.contains("w1 is here"), "{traced:?}");
    assert_one_line(&traced, 0, "participants/one/failed: Not a directory");
}

/// A home that was removed while it was up: what runs of it is seen, and stopped by the next `up` or `down`.
#[test]
fn what_runs_of_a_home_that_was_removed_is_seen_and_stopped() {
    let home = Home::new();
    home.service("one", "exec sleep 1000");
    let begin = || {
        home.good(&["local", "up"]);
        home.good(&["enable", "./one"]);
        let old = home.settled();
        // What runs may just be writing into a folder that is being emptied.
        wait_until("all of it is removed", || {
            let _ = fs::remove_dir_all(home.root());
            !home.root().exists()
        });
        let status = home.skynet(&["local", "status"]);
        assert!(status.code == Some(3) && status.err.contains("skynet local down stops it"), "{status:?}");
        old
    };
    let old = begin();
    let up = home.good(&["local", "up"]);
    assert!(up.contains("stopping what still runs of a home that was removed here"), "{up}");
    assert!(home.processes().iter().all(|process| !old.contains(process)));
    home.good(&["local", "down"]);
    begin();
    home.good(&["local", "down"]);
    assert_eq!(home.processes(), []);
}

/// Messages that cannot be read: nothing is thrown away, and how to go on without them is said, and true.
#[test]
fn a_damaged_store_of_the_broker_is_left_to_its_owner() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["local", "down"]);
    let store = home.path("broker/broker.db");
    fs::write(&store, "this is no database, and long enough to see that ".repeat(99)).unwrap();
    // What the broker says takes its own way to the log, and may be there only the next time.
    let mut way_out = String::new();
    wait_until("it is said how to go on", || {
        let up = home.skynet(&["local", "up"]);
        assert_ne!(up.code, Some(0), "{up:?}");
        let told = up.err.split("(to go on without the messages in it: ").nth(1);
        way_out = told.and_then(|rest| rest.split(')').next()).unwrap_or_default().to_owned();
        !way_out.is_empty()
    });
    assert!(Command::new("sh").args(["-c", &way_out]).status().unwrap().success());
    home.good(&["local", "up"]);
    assert!(home.path("broker/broker.db.damaged").exists());
}
