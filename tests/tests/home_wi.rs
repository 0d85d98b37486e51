//! `skynet wi status|cancel|watch` against participants at work.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, executable, finish, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Works until a file is there or it is cancelled, and tells how far it is.
const PATIENT: &str = "import os, time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        step = 0
        while not os.path.exists(wid.fields.until) and not wid.cancelled:
            step += 1
            wid.progress(0.5, 'waiting')
            time.sleep(0.02)
    def status(self, wid):
        return 'waiting for ' + wid.fields.until
";
/// Hears nothing.
const DEAF: &str = "import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        for _ in range(60000):
            time.sleep(0.01)
";

fn participant(home: &Home, name: &str, handler: &str, config: &str) {
    home.good(&["new", name]);
    let dir = home.folder.path().join(name);
    fs::write(dir.join(format!("{name}.py")), handler).unwrap();
    fs::write(dir.join("config.exo"), config).unwrap();
    home.good(&["enable", &format!("./{name}")]);
}

fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(&home.skynet(&[words, &["--json"]].concat()).out).unwrap()
}

/// How many workitems of the process are in hand, at how many processes.
fn held(home: &Home, wfid: &str) -> (usize, usize) {
    let answers = json(home, &["wi", "status", wfid]);
    let all = answers.as_array().unwrap();
    (all.iter().map(|one| one["workitems"].as_array().unwrap().len()).sum(), all.len())
}

/// "Several participants, instances and hosts may hold workitems of one wfid: all answer."
#[test]
fn everybody_who_holds_a_workitem_answers_is_watched_and_is_cancelled() {
    let home = Home::new();
    home.good(&["local", "up"]);
    participant(&home, "pair", PATIENT, "instances = 2\n");
    participant(&home, "wide", PATIENT, "concurrency = 2\n");
    let until = format!("until={}", home.folder.path().join("go").display());
    for (queue, wfid) in [("pair", "w1"), ("pair", "w1"), ("wide", "w1"), ("wide", "w2")] {
        home.good(&["send", queue, "--wfid", wfid, "-F", &until]);
    }
    wait_until("all are in hand", || held(&home, "w1") == (3, 3) && held(&home, "w2") == (1, 1));

    // A handler has 400 ms to say how far it is, and need not have begun.
    let mut answers = Value::Null;
    wait_until("all say how far they are", || {
        answers = json(&home, &["wi", "status", "w1"]);
        let all: Vec<_> =
            answers.as_array().unwrap().iter().flat_map(|one| one["workitems"].as_array()).collect();
        let says = |wi: &Value| wi["handler"].is_string() && wi["progress"].is_object();
        all.len() == 3 && all.into_iter().flatten().all(says)
    });
    let pids: Vec<_> = answers.as_array().unwrap().iter().map(|one| one["pid"].as_i64().unwrap()).collect();
    let wi = &answers[0]["workitems"][0];
    assert!(pids[0] != pids[1] && answers[2]["participant"] == "wide", "{answers}");
    assert_eq!(
        (&wi["state"], &wi["wfid"], &wi["progress"]["fraction"]),
        (&"running".into(), &"w1".into(), &0.5.into())
    );
    assert!(
        wi["handler"].as_str().unwrap().starts_with("waiting for /") && wi["handler_trouble"].is_null(),
        "{wi}"
    );
    for time in [&answers[0]["since"], &wi["since"]] {
        assert!(time.as_str().unwrap().contains('T') && time.as_str().unwrap().ends_with('Z'), "{time}");
    }
    wait_until("the table says all of it", || {
        let table = home.skynet(&["wi", "status", "w1"]).out;
        table.lines().count() == 4 && table.contains("50 % waiting; waiting for /")
    });

    let mut watch = home.start(&["wi", "watch", "w1"]);
    let mut seen = Lines::of(watch.stdout.take().unwrap());
    seen.until("pair");
    let history = || json(&home, &["history", "--wfid", "w1"]);
    let cancelled =
        |rows: Value| rows.as_array().unwrap().iter().filter(|row| row["outcome"] == "cancelled").count();
    // Who says too late that it has the question is not waited for, and cancels all the same.
    let mut told = BTreeSet::new();
    wait_until("all three are told", || {
        let done = home.skynet(&["wi", "cancel", "w1", "--reason", "wrong project"]);
        told.extend(done.out.lines().filter(|line| line.contains("is told to cancel")).map(str::to_owned));
        cancelled(history()) == 3
    });
    assert!((1..=3).contains(&told.len()), "{told:?}");
    seen.until("nobody has a workitem of w1 in hand any more");
    assert_eq!(finish(watch).code, Some(0));
    wait_until("another process is left alone", || held(&home, "w2") == (1, 1));
    wait_until("the reason is told", || home.good(&["trace", "w1"]).contains("wrong project"));
    fs::write(home.folder.path().join("go"), "").unwrap();
}

/// A handler that does not listen goes on, which is said; `--force` ends it, and a program too.
#[test]
fn a_deaf_handler_and_a_program_are_ended_by_force() {
    let home = Home::new();
    home.good(&["local", "up"]);
    participant(&home, "deaf", DEAF, "");
    home.good(&["new", "program", "--template", "exec"]);
    executable(
        home.folder.path().join("program/program"),
        "#!/bin/sh\ntrap '' TERM\nsleep 600 & wait; wait\n",
    );
    home.good(&["enable", "./program"]);
    for name in ["deaf", "program"] {
        let mut send = home.start(&["send", name, "--wfid", name, "--wait", "--timeout", "5m", "--json"]);
        wait_until("it is in hand", || held(&home, name) == (1, 1));
        if name == "deaf" {
            let told = home.good(&["wi", "cancel", name]);
            assert!(told.contains("a handler that does not listen goes on"), "{told}");
            wait_until("it is said to be cancelled", || {
                home.skynet(&["wi", "status", name]).out.contains("running, cancelled")
            });
            wait_until("it goes on", || held(&home, name) == (1, 1));
        }
        assert!(send.try_wait().unwrap().is_none());
        home.good(&["wi", "cancel", name, "--force"]);
        let reply = finish(send);
        let reply: Value = serde_json::from_str(&reply.out).unwrap_or_else(|e| panic!("{e}: {reply:?}"));
        assert_eq!(reply["fei"]["wfid"], name, "{reply}");
        wait_until("nobody has it", || held(&home, name) == (0, 0));
    }
    wait_until("all are up", || home.skynet(&["status"]).code == Some(0));
}

/// Messages when nobody has a workitem of the process.
#[test]
fn nobody_who_holds_one_is_one_line_and_exit_code_1() {
    let home = Home::new();
    home.good(&["local", "up"]);
    for verb in ["status", "cancel", "watch"] {
        let done = home.skynet(&["wi", verb, "w9"]);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{verb}: {done:?}");
        assert_eq!(
            done.err,
            "skynet: nobody has a workitem of w9 in hand (what became of it: skynet trace w9)\n"
        );
    }
    assert_eq!(json(&home, &["wi", "status", "w9"]), Value::Array(vec![]));
}

/// Who cancels has no trouble, and what crashed took time.
#[test]
fn what_was_cancelled_is_no_failure_and_what_crashed_has_run_for_a_while() {
    let home = Home::new();
    home.good(&["local", "up"]);
    let handler = format!("{PATIENT}\n    # then\n").replace(
        "        step = 0\n",
        "        if wid.fields.until == 'abort':\n            time.sleep(0.2)\n            os.abort()\n        step = 0\n",
    );
    participant(&home, "sizer", &handler, "max_attempts = 1\n");
    home.good(&["send", "sizer", "--wfid", "w1", "-F", "until=/nowhere"]);
    wait_until("it is in hand", || held(&home, "w1") == (1, 1));
    home.good(&["wi", "cancel", "w1"]);
    let counts = || {
        let status = json(&home, &["status", "sizer"]);
        (status[0]["done"].as_u64(), status[0]["failed"].as_u64())
    };
    wait_until("it counts as done", || counts() == (Some(1), Some(0)));

    let done =
        home.skynet(&["send", "sizer", "--wfid", "w2", "-F", "until=abort", "--wait", "--timeout", "100s"]);
    assert!(done.err.contains("the participant ended while it worked"), "{done:?}");
    let mut row = Value::Null;
    wait_until("its row is there", || {
        row = json(&home, &["history", "--wfid", "w2"])[0].clone();
        row["outcome"] == "crashed"
    });
    assert!(row["run_ms"].as_f64().unwrap() >= 100.0, "{row}");
    assert!(row["started"].as_str().unwrap() < row["ended"].as_str().unwrap(), "{row}");
    // The process that gave it up ends, too: the next one finds it in the journal, and counts it once.
    home.skynet(&["send", "sizer", "--wfid", "w3", "-F", "until=abort", "--wait", "--timeout", "100s"]);
    wait_until("the next one is in the history", || {
        json(&home, &["history", "--wfid", "w3"]).as_array().is_some_and(|rows| !rows.is_empty())
    });
    assert_eq!(json(&home, &["history", "--wfid", "w2"]), Value::Array(vec![row]));
}

#[test]
fn a_reply_that_does_not_come_is_told_with_what_keeps_its_participant() {
    let home = Home::new();
    home.good(&["local", "up"]);
    participant(&home, "sizer", DEAF, "");
    home.good(&["stop", "sizer"]);
    let done = home.skynet(&["send", "sizer", "--wait", "--timeout", "3s"]);
    assert!(
        done.code == Some(1) && done.err.contains("sizer is down; why: skynet log sizer -n 20"),
        "{done:?}"
    );
}
