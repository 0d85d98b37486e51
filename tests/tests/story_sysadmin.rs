//! The stories of who runs participants, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, assert_one_line, executable, wait_until};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use unix::process::Signal;

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
    let reloaded = status(&home, "sizer");
    assert_ne!(reloaded["pid"], before["pid"]);
    // In one step.
    let told = home.good(&["config", "sizer", "set", "grace", "21s", "--reload"]);
    assert!(told.contains("sizer is up") && !told.contains("skynet reload"), "{told}");
    assert_ne!(status(&home, "sizer")["pid"], reloaded["pid"]);

    home.good(&["disable", "sizer"]);
    assert_eq!(status(&home, "sizer")["enabled"], false);
    home.good(&["remove", "sizer"]);
    assert_eq!(home.skynet(&["status", "sizer"]).code, Some(4));
}

/// "If a crash happens the participant should restart in a robust manner."
#[test]
fn if_a_crash_happens_the_participant_restarts() {
    let home = up(&["one", "other"]);
    let again = |name: &str, end: &dyn Fn(i32)| {
        let before = status(&home, name)["pid"].clone();
        end(before.as_i64().unwrap() as i32);
        wait_until("it runs again", || {
            status(&home, name)["state"] == "up" && status(&home, name)["pid"] != before
        });
    };
    again("one", &|pid| home.kill(pid));
    // What an operator asks for is no restart of its own.
    again("other", &|_| assert!(home.good(&["kill", "other"]).contains("it is started again")));
    home.good(&["restart", "other"]);
    home.good(&["reload", "other"]);
    home.good(&["stop", "other"]);
    home.good(&["start", "other"]);
    assert_eq!(
        (&status(&home, "one")["restarts"], &status(&home, "other")["restarts"]),
        (&1.into(), &0.into())
    );
    home.good(&["stop", "o*"]);
    assert_eq!(
        (home.skynet(&["status", "one"]).code, home.skynet(&["status", "other"]).code),
        (Some(3), Some(3))
    );
    assert!(home.good(&["once", "one"]).contains("runs once"));
    assert!(home.good(&["status", "one"]).contains("up once"), "{}", home.good(&["status", "one"]));
    let killed = home.good(&["kill", "one"]);
    assert!(killed.contains("was killed") && !killed.contains("started again"), "{killed}");
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
    fs::write(home.folder.path().join("one/config.exo"), "exec = [\"/bin/cat\"]\n").unwrap();
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

/// "I should be notified of any problems (eg crashes)." One setting, one test of it.
#[test]
fn i_should_be_notified_of_any_problems() {
    let home = Home::new();
    home.good(&["local", "up"]);
    let told = home.folder.path().join("told");
    let tell = home.folder.path().join("tell");
    executable(
        &tell,
        format!("#!/bin/sh\necho \"$SKYNET_SERVICE $SKYNET_EVENT $SKYNET_EXIT\" >>{}\n", told.display()),
    );
    home.good(&["config", "set", "notify.command", &format!("[{tell:?}]")]);
    let tested = home.good(&["notify", "test"]);
    assert!(tested.contains("has been told"), "{tested}");
    assert_eq!(fs::read_to_string(&told).unwrap(), "skynet test code 0\n");

    home.good(&["new", "fragile"]);
    home.good(&["enable", "./fragile"]);
    assert!(home.good(&["notify", "test", "fragile", "--json"]).contains("\"told\": true"));
    home.kill(status(&home, "fragile")["pid"].as_i64().unwrap() as i32);
    wait_until("its crash is told", || fs::read_to_string(&told).unwrap().contains("fragile crash signal 9"));
    wait_until("it is up again", || home.skynet(&["status", "fragile"]).code == Some(0));

    // A command that fails, that does not end, that is not there: said at once, not when it is needed.
    for (command, part) in [
        ("[\"/bin/sh\", \"-c\", \"echo no route to host; exit 3\"]", "ended with exit code 3"),
        ("[\"/bin/sh\", \"-c\", \"kill -9 $$\"]", "was ended by signal 9"),
        ("[\"/no/such/program\"]", "cannot run the notify command /no/such/program"),
        ("[]", "fragile has no notify command"),
    ] {
        home.good(&["config", "fragile", "set", "notify.command", command]);
        let done = home.skynet(&["notify", "test", "fragile"]);
        assert!(done.code != Some(0) && done.err.lines().count() == 1 && done.err.contains(part), "{done:?}");
        assert_eq!(
            done.out.contains("no route to host"),
            command.contains("route"),
            "what it says is shown: {done:?}"
        );
    }
    home.service("plain", "exec sleep 1000");
    home.good(&["enable", "./plain"]);
    let plain = home.skynet(&["notify", "test", "plain"]);
    assert!(plain.code == Some(1) && plain.err.contains("service.toml"), "why, and what to do: {plain:?}");
}

/// "I want to be sure they'll shutdown and startup nicely when the system reboots. I don't mind waiting a short while
/// for them to shutdown nicely but not too long."
#[test]
fn i_want_to_be_sure_they_shut_down_and_start_up_nicely_but_in_a_short_while() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "endless"]);
    let endless = "import time\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        \
                   self.log.info('attempt %d', wid.attempt)\n        \
                   while not wid.fields.short:\n            time.sleep(0.05)\n";
    fs::write(home.folder.path().join("endless/endless.py"), endless).unwrap();
    home.good(&["config", "./endless", "set", "grace", "1s"]);
    home.good(&["enable", "./endless"]);
    home.good(&["send", "endless", "--wfid", "w1"]);
    let log = || home.good(&["log", "endless"]);
    wait_until("it works", || log().contains("w1: attempt 1"));
    let begun = Instant::now();
    home.good(&["local", "down"]);
    // What it would have by default, and more than it has.
    assert!(begun.elapsed().as_secs() < 60, "it was not waited for: {:?}", begun.elapsed());
    assert!(home.processes().is_empty());
    home.good(&["local", "up"]);
    wait_until("its workitem came back", || log().matches("w1: attempt").count() == 2);
    wait_until("what starts at boot is up", || status(&home, "endless")["state"] == "up");
}

/// "I want to see log information from them (and have them cope with logrotate)."
#[test]
fn i_want_to_see_their_logs_and_have_them_cope_with_logrotate() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let current = home.path("log/sizer/current");
    for (round, way) in ["nocreate", "create", "copytruncate"].iter().enumerate() {
        let wfid = format!("w{round}");
        home.good(&["send", "sizer", "--wait", "--wfid", &wfid]);
        wait_until("its line is there", || home.good(&["log", "sizer", "--wfid", &wfid]).contains("replied"));
        let rule = home.folder.path().join("rule");
        fs::write(&rule, format!("{} {{\n rotate 9\n missingok\n {way}\n}}\n", current.display())).unwrap();
        let mut logrotate = Command::new("/usr/sbin/logrotate");
        let done =
            logrotate.args(["-f", "-s"]).arg(home.folder.path().join("state")).arg(&rule).output().unwrap();
        assert!(done.status.success(), "{way}: {done:?}");
    }
    home.good(&["send", "sizer", "--wait", "--wfid", "last"]);
    wait_until("it goes on", || home.good(&["log", "sizer", "--wfid", "last"]).contains("replied"));
    home.good(&["status", "sizer"]);
}

/// "If a crash happens the participant should restart in a robust manner (probably rate limited)."
#[test]
fn a_participant_that_crashes_again_and_again_is_restarted_at_a_limited_rate_and_said_to_be() {
    let home = up(&[]);
    let dir = home.service("crashing", "echo crashed; exit 1");
    let backoff = "[backoff]\nfirst = \"1s\"\nfactor = 100.0\nmax = \"1h\"\n";
    fs::write(dir.join("service.toml"), backoff).unwrap();
    let done = home.skynet(&["enable", "./crashing", "--timeout", "2s"]);
    assert!(done.code == Some(1) && done.err.contains("log/crashing/current"), "{done:?}");
    wait_until("it waits for more than its second start", || {
        let status = servicedir::client::status(&home.path("service/crashing")).ok();
        let starts_at = status.and_then(|status| status.more?.starts_at);
        starts_at.is_some_and(|at| at > unix::clock::monotonic() + Duration::from_secs(10))
    });
    let starts = status(&home, "crashing")["restarts"].as_u64().unwrap() as usize + 1;
    // Two by itself, and two more if it waits already when it is told to start.
    assert!([2, 3, 4].contains(&starts), "{starts}");
    let logged = || home.good(&["log", "crashing"]).matches("crashed").count();
    wait_until("the log has each of them", || logged() >= starts);
    assert_eq!(logged(), starts);
    assert_eq!(status(&home, "crashing")["state"], "restarting");
    assert_eq!(home.skynet(&["status", "crashing"]).code, Some(3));
    assert!(home.skynet(&["doctor"]).out.contains("crashing: it does not stay up"));
    // An operator need not wait.
    home.service("crashing", "exec sleep 1000");
    home.good(&["start", "crashing"]);
}

/// "I want to manage running participant daemons": all of them at once, whatever is wrong with one.
#[test]
fn what_is_asked_of_all_is_done_for_all_whatever_is_wrong_with_one() {
    let home = up(&["one", "other", "third"]);
    let pid = |name: &str| status(&home, name)["pid"].clone();
    // Of a pattern only what runs is reloaded; by its name it is said.
    home.good(&["stop", "one"]);
    let before = (pid("other"), pid("third"));
    assert!(home.good(&["reload", "*"]).contains("one is down: nothing to reload"));
    assert!(before.0 != pid("other") && before.1 != pid("third"), "they run anew");
    let before = pid("other");
    let done = home.skynet(&["reload", "one", "other"]);
    assert!(done.code == Some(1) && done.err.contains("one is down: there is nothing to reload"), "{done:?}");
    assert_ne!(pid("other"), before);

    // One that does not come up keeps no other from coming up.
    home.service("one", "exit 1");
    for verb in ["start", "restart"] {
        let done = home.skynet(&[verb, "*", "--timeout", "60s"]);
        assert!(
            done.code == Some(1) && done.err.contains("one ends as soon as it is started"),
            "{verb}: {done:?}"
        );
        assert!(done.out.contains("other is up") && done.out.contains("third is up"), "{verb}: {done:?}");
    }

    assert!(home.good(&["remove", "other", "third"]).contains("third is removed"));
    assert_one_line(
        &home.skynet(&["enable", "./other", "./thrid", "./third"]),
        1,
        "there is no folder ./thrid",
    );
    assert!(!home.path("service/other").exists(), "nothing is made where one is none");
    let done = home.skynet(&["enable", "./one", "./other", "./third"]);
    assert!(done.code == Some(1) && done.out.contains("third is up"), "{done:?}");

    // What could not be started again is not stopped.
    fs::write(home.folder.path().join("third/config.exo"), "exec = [\"/bin/cat\"]\n").unwrap();
    home.good(&["enable", "third"]);
    fs::write(home.folder.path().join("third/config.exo"), "grcae = \"5s\"\n").unwrap();
    let before = (pid("other"), pid("third"));
    for verb in ["restart", "reload"] {
        let done = home.skynet(&[verb, "*"]);
        assert!(
            done.code == Some(1) && done.err.contains("what runs goes on with the old settings"),
            "{done:?}"
        );
        assert_eq!((pid("other"), pid("third")), before, "{verb}");
    }
}

/// "What is wrong and what to do": a supervise that is stopped, or stuck.
#[test]
fn a_supervise_that_does_not_answer_is_named_and_what_helps_is_said() {
    let home = up(&["one"]);
    let all = home.processes();
    let supervise = all.iter().find(|process| process.words.ends_with("supervise one")).unwrap().pid;
    tests::process::signal(supervise, Signal::SIGSTOP);
    let help = format!("(pid {supervise}) does not answer");
    wait_until("doctor sees it", || home.skynet(&["doctor"]).out.contains(&help));
    for verb in ["kill", "reload"] {
        let done = home.skynet(&[verb, "one", "--timeout", "1s"]);
        assert!(done.code != Some(0) && done.err.contains(&help), "{verb}: {done:?}");
        assert!(done.err.contains(&format!("kill -9 {supervise}")), "{verb}: {done:?}");
    }
    tests::process::signal(supervise, Signal::SIGKILL);
    wait_until("another takes over", || home.skynet(&["kill", "one"]).out.contains("was killed"));
    wait_until("it runs again", || status(&home, "one")["state"] == "up");
}

/// Without svscan nothing is supervised: the table says why.
#[test]
fn status_says_what_to_start_where_nothing_is_supervised() {
    let home = up(&["one"]);
    home.good(&["local", "down"]);
    let done = home.skynet(&["status"]);
    let why = "no svscan runs in this home (start it with: skynet local up)";
    assert!(done.code == Some(3) && done.err.contains(why), "{done:?}");
}
