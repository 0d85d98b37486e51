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
    fs::write(&service, "ready = \"fd:3\"\n[backoff]\nfirst = \"50ms\"\nfactor = 100.0\nmax = \"1h\"\n")
        .unwrap();
    let code = home.folder.path().join("sizer/sizer.py");
    let good = fs::read_to_string(&code).unwrap();
    fs::write(&code, "import nothere\n").unwrap();
    let mut done = home.skynet(&["enable", "./sizer"]);
    // What it says takes its own way to the log, and may be there only the next time.
    wait_until("it is told why", || {
        assert_eq!(done.code, Some(1), "{done:?}");
        let told = done.err.contains("No module named 'nothere'");
        if !told {
            done = home.skynet(&["enable", "./sizer"]);
        }
        told
    });
    let told: Vec<_> = done.err.lines().skip(1).collect();
    assert!(told[0].starts_with("  exo: fatal: ") && told.len() < 7, "what it died of, once: {done:?}");
    wait_until("it waits", || status(&home, "sizer")["state"] == "restarting");
    fs::write(&code, good).unwrap();
    let told = home.good(&["reload", "sizer"]);
    assert!(told.contains("sizer is up"), "{told}");
}

/// A value may be right by itself, and wrong beside what another file says: nothing is changed then.
#[test]
fn what_is_set_is_checked_beside_all_that_the_participant_reads() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let config = home.folder.path().join("sizer/config.exo");
    let before = fs::read_to_string(&config).unwrap();
    home.good(&["config", "set", "soft_timeout", "2m"]);
    let done = home.skynet(&["config", "sizer", "set", "hard_timeout", "1m"]);
    assert_one_line(&done, 1, "soft_timeout: 120 s is after hard_timeout (60 s), when all is over");
    assert!(done.err.contains("boss.conf:") && done.err.ends_with("; nothing was changed\n"), "{done:?}");
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    home.good(&["config", "sizer", "set", "amqp.url", "amqps://localhost"]);
    let done = home.skynet(&["config", "./sizer", "set", "amqp.tls.cert", "cert.pem"]);
    assert_one_line(&done, 1, "amqp.tls.cert: it needs key beside it, as in amqp.tls = { cert");
    home.good(&["config", "sizer", "set", "amqp.tls", "{ cert = \"cert.pem\", key = \"key.pem\" }"]);
    home.good(&["config", "sizer", "unset", "amqp"]);
    home.good(&["config", "sizer", "set", "hard_timeout", "3m"]);
    let done = home.skynet(&["config", "set", "soft_timeout", "4m"]);
    assert_one_line(&done, 1, "soft_timeout: 240 s is after hard_timeout (180 s)");
    let done = home.skynet(&["config", "sizer", "unset", "nothing"]);
    assert_one_line(&done, 1, "does not stand here");
    // What is wrong already may be repaired step by step.
    fs::write(&config, "hard_timeout = \"1m\"\n").unwrap();
    home.good(&["config", "sizer", "set", "grace", "5s"]);
    home.good(&["config", "sizer", "unset", "hard_timeout"]);
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

/// Who may write what is run chooses what is done.
#[test]
fn doctor_tells_of_a_participant_that_others_may_write() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let said = |found: &str| home.skynet(&["doctor"]).out.contains(found);
    assert!(!said("others may write"));
    let folder = home.folder.path().join("sizer");
    let files = ["run", "config.exo", "sizer.py"].map(|file| folder.join(file));
    for path in files.into_iter().chain([folder]) {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(before.mode() | 0o002)).unwrap();
        assert!(said(&format!("chmod go-w {}\n", path.display())), "{}", path.display());
        fs::set_permissions(&path, before).unwrap();
    }
}

/// A state folder is not handed over by itself: that is said when another user is set.
#[test]
fn another_user_is_told_with_what_to_do_about_the_state() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can be somebody else
    }
    let home = Home::new();
    home.good(&["new", "sizer"]);
    let state = home.path("participants/sizer");
    fs::create_dir_all(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
    let set = |user| home.skynet(&["config", "./sizer", "set", "user", user]);
    assert_one_line(&set("daemon"), 0, &format!("chown -R daemon {}", state.display()));
    assert_eq!(set("nobody").err, "", "it is its own");
    let (boss, file) = (home.path("boss.conf"), home.folder.path().join("sizer/config.exo"));
    fs::write(boss, "").unwrap();
    fs::write(file, "").unwrap();
    home.good(&["enable", "./sizer"]);
    assert_one_line(&home.skynet(&["config", "set", "user", "daemon"]), 0, "chown -R daemon ");
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

/// What runs is not ended where it could not be started again, and who asks why is not sent to a log that knows nothing.
#[test]
fn a_participant_whose_folder_is_gone_or_cannot_be_run_is_left_alone_and_said_to_be_that() {
    let home = Home::up_without_broker();
    let folder = home.service("one", "exec sleep 1000");
    home.good(&["enable", "./one"]);
    let pid = || status(&home, "one")["pid"].clone();
    let before = pid();
    let away = home.folder.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let gone = format!("its folder {} is gone (put it back, or: skynet remove one)", folder.display());
    for verb in ["reload", "restart"] {
        assert_one_line(&home.skynet(&[verb, "one"]), 1, &gone);
        assert_eq!(pid(), before, "{verb}");
    }
    assert!(home.skynet(&["doctor"]).out.contains(&gone));
    home.good(&["stop", "one"]);
    assert_one_line(&home.skynet(&["start", "one"]), 1, &gone);

    fs::rename(&away, &folder).unwrap();
    home.good(&["start", "one"]);
    let before = pid();
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o644)).unwrap();
    let repair = format!("(repair: chmod +x {})", folder.join("run").display());
    assert_one_line(&home.skynet(&["restart", "one"]), 1, &repair);
    assert_eq!(pid(), before);
    assert!(home.skynet(&["doctor"]).out.contains(&repair));
}

/// "skynet config NAME set KEY VALUE (checked)": an account that is not there is told, and ends nothing that runs.
#[test]
fn a_user_who_is_not_there_is_told_and_leaves_what_runs_alone() {
    let home = Home::up_without_broker();
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let before = status(&home, "sizer")["pid"].clone();
    let set = home.skynet(&["config", "sizer", "set", "user", "nobody-of-that-name"]);
    assert_one_line(&set, 0, "there is no account nobody-of-that-name here");
    let wrong = "sizer/config.exo: there is no account nobody-of-that-name";
    assert_one_line(&home.skynet(&["reload", "sizer"]), 1, wrong);
    assert_one_line(&home.skynet(&["restart", "sizer"]), 1, wrong);
    assert_eq!(status(&home, "sizer")["pid"], before, "it runs on");
    let doctor = home.skynet(&["doctor"]).out;
    assert!(doctor.matches("nobody-of-that-name").count() == 1 && doctor.contains("useradd"), "{doctor}");
}

#[test]
fn settings_that_are_set_at_the_same_time_are_all_set() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    let keys =
        ["grace=31s", "max_attempts=5", "max_body=32M", "prefetch=3", "max_workitems=7", "log_format=json"];
    let pairs = keys.map(|pair| pair.split_once('=').unwrap());
    let children = pairs.map(|(key, value)| home.start(&["config", "./sizer", "set", key, value]));
    for child in children {
        let done = finish(child);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let file = fs::read_to_string(home.folder.path().join("sizer/config.exo")).unwrap();
    for (key, _) in pairs {
        assert!(file.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key} is lost: {file}");
    }
}
