//! The stories of who writes processes, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, finish, signal, wait_until};
use serde_json::Value;
use std::fs;
use unix::process::Signal;

fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(&home.good(&[words, &["--json"]].concat())).unwrap()
}

/// "I want to manage the names of participants (without having to change the code)."
#[test]
fn i_want_to_manage_the_names_of_participants_without_changing_the_code() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let item = json(&home, &["register", "./sizer", "--as", "^size.*"]);
    assert_eq!(
        (&item["fields"]["name"], &item["fields"]["queue"]),
        (&"^size.*".into(), &"sizer".into()),
        "{item}"
    );
    assert!(item["definition"].as_str().unwrap().contains("boss_register"), "{item}");
    let item = json(&home, &["unregister", "./sizer", "--as", "^size.*"]);
    assert!(item["definition"].as_str().unwrap().contains(":action => \"unregister\""), "{item}");
    // Both are settings of the participant, too.
    home.good(&["config", "./sizer", "set", "regexp", "^(size|measure)$"]);
    home.good(&["config", "./sizer", "set", "queue", "sizes"]);
    for command in ["register", "unregister"] {
        let item = json(&home, &[command, "./sizer"]);
        let said = (&item["fields"]["name"], &item["fields"]["queue"]);
        assert_eq!(said, (&"^(size|measure)$".into(), &"sizes".into()), "{item}");
    }
    json(&home, &["launch", "--definition", "Ruote.process_definition do sizer end", "-F", "a.b=1"]);
    for definition in ["", "process.rb", "{\"definition\": \"sizer\"}"] {
        let bad = home.skynet(&["launch", "--definition", definition]);
        assert!(bad.code == Some(100) && bad.err.contains("no process definition"), "{definition}: {bad:?}");
        assert_eq!(bad.err.lines().count(), 1, "{bad:?}");
    }
    // In a file one word is the definition, not another file.
    fs::write(home.folder.path().join("process.rb"), "sizer").unwrap();
    json(&home, &["launch", "process.rb"]);
    let queues = json(&home, &["queues"]);
    let replies =
        queues.as_array().unwrap().iter().find(|queue| queue["queue"] == "ruote_workitems").unwrap();
    assert_eq!(replies["ready"], 6, "the engine finds all of them when it comes: {queues}");
    let bad = home.skynet(&["register", "./sizer", "--as", "size["]);
    assert!(bad.code == Some(100) && bad.err.lines().count() == 1, "{bad:?}");
}

/// "I want to filter output by process (wfid) and only see some participant logs."
#[test]
fn i_want_to_filter_output_by_process_and_see_only_some_logs() {
    let home = Home::new();
    home.good(&["local", "up"]);
    for name in ["sizer", "checker"] {
        home.good(&["new", name]);
        home.good(&["enable", &format!("./{name}")]);
        for wfid in ["first", "second"] {
            home.good(&["send", name, "--wfid", wfid, "--wait"]);
        }
    }
    wait_until("all is in the log", || home.good(&["log", "--grep", "replied$"]).lines().count() == 4);
    let lines = |words: &[&str]| {
        let out = home.good(&[&["log"][..], words, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let both = lines(&["--wfid", "first", "--since", "1h"]);
    assert!(both.iter().any(|line| line["participant"] == "sizer"), "{both:?}");
    assert!(both.iter().any(|line| line["participant"] == "checker"), "{both:?}");
    assert!(both.iter().all(|line| line["text"].as_str().unwrap().contains("first")), "{both:?}");
    let one = lines(&["size*", "--grep", "replied$"]);
    assert!(one.len() == 2 && one.iter().all(|line| line["participant"] == "sizer"), "{one:?}");
    assert_eq!(lines(&["sizer", "-n", "1", "--wfid", "second"]).len(), 1);
}

/// "I want to easily see output from participants": one command for all of them, while they work.
#[test]
fn i_want_to_easily_see_output_from_participants() {
    let home = Home::new();
    home.good(&["local", "up"]);
    let mut follow = home.start(&["log", "-f"]);
    let mut seen = Lines::of(follow.stdout.take().unwrap());
    for name in ["sizer", "checker"] {
        home.good(&["new", name]);
        home.good(&["enable", &format!("./{name}")]);
        home.good(&["send", name, "--wfid", name, "--wait"]);
        // One that came later, too.
        let line = seen.until(&format!("{name} {name}: done"));
        assert!(line.contains(&format!(" {name}: ")), "whose it is: {line}");
    }
    signal(&follow, Signal::SIGINT);
    assert_eq!(finish(follow).code, Some(130));
}

/// "I want to be able to analyse the history of each participant's work to see how long they took and how many times
/// they were called or had problems."
#[test]
fn i_want_to_analyse_the_history_of_each_participants_work() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "worker"]);
    let handler = "import time\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        \
                   time.sleep(wid.fields.ms / 1000.0)\n        if wid.fields.bad:\n            \
                   raise ValueError('it is bad')\n";
    fs::write(home.folder.path().join("worker/worker.py"), handler).unwrap();
    home.good(&["enable", "./worker"]);
    for (wfid, ms, bad) in [("quick", 1, false), ("slow", 300, false), ("bad", 1, true)] {
        let (ms, bad) = (format!("ms={ms}"), format!("bad={bad}"));
        home.skynet(&["send", "worker", "--wait", "--wfid", wfid, "-F", &ms, "-F", &bad]);
    }
    wait_until("all is written", || json(&home, &["history"]).as_array().unwrap().len() == 3);
    let stats = &json(&home, &["history", "--stats"])[0];
    assert_eq!((&stats["count"], &stats["problems"]), (&3.into(), &1.into()), "{stats}");
    assert!(
        stats["run_ms"]["max"].as_f64().unwrap() >= 300.0 && stats["wait_ms"]["min"].as_f64().unwrap() >= 0.0
    );
    // Which one that is only the machine knows.
    let rows = json(&home, &["history"]);
    let run = |row: &&Value| row["run_ms"].as_f64().unwrap();
    let slowest = rows.as_array().unwrap().iter().max_by(|a, b| run(a).total_cmp(&run(b))).unwrap();
    assert_eq!(&json(&home, &["history", "--slowest", "1"])[0], slowest);
    let bad = &json(&home, &["history", "--problems"])[0];
    assert_eq!((&bad["wfid"], &bad["error"]), (&"bad".into(), &"ValueError: it is bad".into()), "{bad}");
    let table = home.good(&["history", "--stats"]);
    assert!(table.contains("33.3 %") && table.contains("worker"), "{table}");
    let csv = home.good(&["history", "--csv"]);
    assert_eq!(csv.lines().count(), 4, "{csv}");
}
