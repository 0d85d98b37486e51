//! `skynet history|failed|trace` on state folders that the library writes as exo does.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, assert_one_line, finish, wait_until};
use serde_json::Value;
use state::failed::{About, FailedStore, Failure};
use state::history::{Outcome, Row, Writer};
use state::moment;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use unix::tai64n::Tai64n;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Writes rows into the history of a participant, each its wfid, run time in ms, outcome. The first started two
/// hours ago, which is returned, the others now.
fn history(home: &Home, name: &str, rows: &[(&str, i64, Outcome)]) -> i64 {
    let state = home.path(&format!("participants/{name}"));
    fs::create_dir_all(&state).unwrap();
    let mut writer = Writer::start(&state, YEAR, Box::new(|line| panic!("{line}"))).unwrap();
    let now = moment::now();
    let first = now - 7_200_000_000;
    for (i, (wfid, ms, outcome)) in rows.iter().enumerate() {
        let started = if i == 0 { first } else { now + i as i64 };
        writer.write(Row {
            participant: name.into(),
            sid: format!("0!s!{wfid}"),
            wfid: (*wfid).into(),
            workflow: "review".into(),
            started,
            ended: started + ms * 1000,
            wait: Some(250_000),
            outcome: *outcome,
            attempt: 1,
            error: if outcome.is_problem() { "ValueError: boom".into() } else { String::new() },
        });
    }
    first
}

fn fail(home: &Home, name: &str, wfid: &str) {
    let about = About {
        when: moment::now(),
        reason: "ValueError: boom".into(),
        participant: name.into(),
        queue: name.into(),
        sid: format!("0!s!{wfid}"),
        wfid: wfid.into(),
        attempt: 1,
        answered: true,
        ..About::default()
    };
    let body = format!(
        "{{\"fields\":{{\"text\":null,\"dispatched_at\":\"2026-01-01 00:00:00.000000 UTC\"}},\"fei\":{{\"engine_id\":\"e\",\
         \"wfid\":\"{wfid}\",\"subid\":\"s\",\"expid\":\"0\"}},\"participant_name\":\"{name}\"}}"
    );
    let failure = Failure {
        about: &about,
        name: &format!("0!s!{wfid}"),
        body: body.as_bytes(),
        traceback: "Traceback: line 7",
        log: "the last line",
    };
    FailedStore::new(&home.path(&format!("participants/{name}")), 100, 1 << 20).keep(&failure).unwrap();
}

fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(&home.good(&[words, &["--json"]].concat())).unwrap()
}

/// "I want to be able to analyse the history of each participant's work to see how long they took and how many
/// times they were called or had problems."
#[test]
fn history_tells_how_often_how_long_and_how_many_problems() {
    let home = Home::new();
    assert!(home.good(&["history"]).contains("no workitem"));
    let rows = [("w1", 100, Outcome::Replied), ("w2", 300, Outcome::Failed), ("w3", 200, Outcome::Replied)];
    history(&home, "sizer", &rows);
    history(&home, "checker", &[("w1", 7, Outcome::Replied)]);

    let table = home.good(&["history", "sizer"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("ValueError: boom") && table.contains("250ms"), "{table}");
    let slowest = json(&home, &["history", "--slowest", "2"]);
    let wfids: Vec<_> = slowest.as_array().unwrap().iter().map(|row| row["wfid"].as_str().unwrap()).collect();
    assert_eq!(wfids, ["w2", "w3"]);
    assert_eq!(json(&home, &["history", "--wfid", "w1"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&home, &["history", "--since", "1h"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&home, &["history", "--problems"])[0]["outcome"], "failed");
    let csv = home.good(&["history", "check*", "--csv"]);
    assert!(
        csv.starts_with("participant,sid,") && csv.lines().nth(1).unwrap().starts_with("checker,0!s!w1,w1,"),
        "{csv}"
    );

    let stats = json(&home, &["history", "--stats", "sizer"]);
    assert_eq!((&stats[0]["count"], &stats[0]["problems"]), (&3.into(), &1.into()), "{stats}");
    assert_eq!(
        (&stats[0]["run_ms"]["p50"], &stats[0]["run_ms"]["max"]),
        (&200.0.into(), &300.0.into()),
        "{stats}"
    );
    assert!(home.good(&["history", "--stats"]).contains("33.3 %"));
    let unknown = home.skynet(&["history", "sizr"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("did you mean \"sizer\"?"), "{unknown:?}");
}

/// "`history.db` locked or damaged": the others are shown, one line says which could not be.
#[test]
fn a_damaged_history_is_told_of_and_the_others_are_shown() {
    let home = Home::new();
    history(&home, "good", &[("w1", 1, Outcome::Replied)]);
    history(&home, "bad", &[("w1", 1, Outcome::Replied)]);
    fs::write(
        home.path("participants/bad/history.db"),
        "this is no database, and long enough to see that ".repeat(99),
    )
    .unwrap();
    for words in [&["history"][..], &["history", "--stats"]] {
        let done = home.skynet(words);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.out.contains("good") && done.err.lines().count() == 1, "{done:?}");
        assert!(done.err.contains("bad/history.db"), "{done:?}");
    }
}

/// "If a problem occurs in production I'd like to have as much debug information as possible; including a copy of
/// the incoming workitem."
#[test]
fn failed_workitems_are_listed_shown_put_back_and_dropped() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    home.good(&["stop", "sizer"]);
    fail(&home, "sizer", "w1");
    fail(&home, "sizer", "w2");
    assert_eq!(json(&home, &["failed"]).as_array().unwrap().len(), 2);
    let shown = home.good(&["failed", "sizer", "w1"]);
    for part in ["ValueError: boom", "Traceback: line 7", "the last line", "\"text\": null", "--retry"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    // A wfid is enough, as it stands in an error; who it belongs to is known.
    assert_eq!(home.good(&["failed", "w1"]), shown);
    assert_one_line(&home.skynet(&["failed", "w9"]), 1, "no participant \"w9\"");
    let vague = home.skynet(&["failed", "sizer", "--drop"]);
    assert!(vague.code == Some(100) && vague.err.contains("--all"), "{vague:?}");

    let back = home.skynet(&["failed", "sizer", "w1", "--retry"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.err.contains("may ignore"), "the engine failed it already, which is said: {back:?}");
    wait_until("it is on the queue", || json(&home, &["queues", "sizer"])[0]["ready"] == 1);
    assert_eq!(json(&home, &["failed", "sizer", "w1"])[0]["retries"].as_array().unwrap().len(), 1);

    home.good(&["failed", "sizer", "w1", "--drop"]);
    assert_eq!(json(&home, &["failed"])[0]["wfid"], "w2");
    let unknown = home.skynet(&["failed", "sizer", "w1"]);
    assert!(unknown.code == Some(1) && unknown.err.lines().count() == 1, "{unknown:?}");
    home.good(&["failed", "--all", "--drop"]);
    assert!(home.good(&["failed"]).contains("no failed workitem"));
}

/// The settings of a participant may name it otherwise than its folder, as files of the original do: "`[participant]
/// name, queue, regexp, code, user`".
#[test]
fn a_participant_with_a_name_of_its_own_is_in_no_list_twice_and_goes_back_to_its_queue_once() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "robot"]);
    let settings = "[participant]\nname = sizer\nqueue = events\ncode = robot.py\n";
    fs::write(home.path("../robot/config.exo"), settings).unwrap();
    let enabled = home.good(&["enable", "./robot"]);
    assert!(enabled.contains("next: skynet send events "), "{enabled}");
    home.good(&["stop", "robot"]);
    history(&home, "sizer", &[("w1", 100, Outcome::Failed)]);
    fail(&home, "sizer", "w1");
    for words in
        [&["history"][..], &["history", "--stats"], &["failed"], &["failed", "sizer"], &["failed", "robot"]]
    {
        assert_eq!(json(&home, words).as_array().unwrap().len(), 1, "{words:?}");
    }
    let events = json(&home, &["trace", "w1"]);
    let what: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["queued", "started", "failed", "kept"], "{events}");

    assert_eq!(home.skynet(&["failed", "--all", "--retry"]).code, Some(0));
    wait_until("it is on the queue", || json(&home, &["queues", "robot"])[0]["ready"] == 1);
    assert_eq!(json(&home, &["failed"])[0]["retries"].as_array().unwrap().len(), 1);

    let refused = home.skynet(&["config", "robot", "set", "grace", "9s"]);
    assert!(refused.code == Some(1) && refused.err.contains("is an INI file"), "{refused:?}");
    assert_eq!(fs::read_to_string(home.path("../robot/config.exo")).unwrap(), settings);
}

/// "`trace WFID`: everything known about one process, in time order."
#[test]
fn trace_tells_all_of_one_process_in_the_order_of_time() {
    let home = Home::new();
    let started = history(&home, "sizer", &[("w1", 100, Outcome::Failed), ("w2", 1, Outcome::Replied)]);
    fail(&home, "sizer", "w1");
    fs::create_dir_all(home.path("log/sizer")).unwrap();
    let label = String::from_utf8(Tai64n::from(moment::time(started + 50_000)).label().to_vec()).unwrap();
    fs::write(home.path("log/sizer/current"), format!("{label} [w1] in the middle\n{label} [w2] other\n"))
        .unwrap();
    let events = json(&home, &["trace", "w1"]);
    let what: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["queued", "started", "log", "failed", "kept"], "{events}");
    let nothing = home.skynet(&["trace", "w9"]);
    assert!(nothing.code == Some(1) && nothing.err.contains("nothing is known"), "{nothing:?}");
}

/// "Output closed early (`| head`: no panic, exit quietly)."
/// What a killed process has left beside the history is for who may write there to take up.
#[test]
fn a_history_with_rows_that_only_its_owner_can_take_up_is_said_to_be_that() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can be somebody else
    }
    let home = Home::new();
    history(&home, "sizer", &[("w1", 1, Outcome::Replied)]);
    let state = home.path("participants/sizer");
    let killed = "import os, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n\
                  db.execute('UPDATE work SET attempt = 2')\ndb.commit()\nos.kill(os.getpid(), 9)\n";
    let mut writer = Command::new("python3");
    writer.args(["-c", killed]).arg(state.join("history.db"));
    assert!(!writer.status().unwrap().success());
    fs::remove_file(state.join("history.db-shm")).unwrap();
    let program = home.folder.path().join("skynet");
    home::executable(&program, fs::read(home::bin().join("skynet")).unwrap());
    let mut as_nobody = Command::new(&program);
    as_nobody.arg("history").env_clear().env("SKYNET_HOME", home.root()).uid(65534).gid(65534);
    let done = as_nobody.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && done.stdout.is_empty(), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("only who may write there can take them up"),
        "{said}"
    );
    assert!(home.good(&["history"]).contains("w1"), "its owner takes them up");
}

#[test]
fn nobody_who_reads_is_no_reason_to_complain() {
    let home = Home::new();
    let rows: Vec<_> = (0..3000).map(|i| (if i == 0 { "first" } else { "w" }, 1, Outcome::Replied)).collect();
    history(&home, "sizer", &rows);
    for words in
        [&["history", "--csv"][..], &["history", "-n", "3000"], &["--help"], &["config"], &["doctor"]]
    {
        let mut child = home.start(words);
        drop(Lines::of(child.stdout.take().unwrap()));
        let done = finish(child);
        assert!(!done.err.contains("panicked") && !done.err.contains("roken pipe"), "{words:?}: {done:?}");
    }
}

/// "A full disk …: one clear line each", also where the answer itself finds no room.
#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let home = Home::up_without_broker();
    home.service("quiet", "echo a line; exec sleep 1000");
    home.good(&["enable", "./quiet"]);
    wait_until("there is a line", || home.good(&["log", "quiet"]).contains("a line"));
    for words in [&["status"][..], &["log"], &["history"], &["history", "--csv"], &["new", "--list"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = finish(home.command(words).stdout(full).spawn().unwrap());
        assert!(done.code == Some(111) && done.err.contains(": No space left"), "{words:?}: {done:?}");
        assert_eq!(done.err.matches("cannot write").count(), 1, "{words:?}: {done:?}");
    }
}
