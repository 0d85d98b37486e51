//! `--json`: what every command prints is JSON, of the schema in docs/reference/json.md.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

/// The commands whose JSON was looked at.
static LOOKED_AT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The commands there are, by the reference, which is made from the table of commands; not those that only group others.
fn all_commands() -> BTreeSet<String> {
    let reference = fs::read_to_string(tests::checkout().join("docs/reference/skynet.md")).unwrap();
    let heading = regex::Regex::new("(?m)^####? `skynet ([a-z ]+)`\n\n.*\n\n    (.*)$").unwrap();
    let found = heading.captures_iter(&reference).filter(|found| !found[2].ends_with(" <COMMAND>"));
    found.map(|found| found[1].to_owned()).collect()
}

/// What a command prints with `--json`: one value, or with `lines` one on each line.
fn json(home: &Home, words: &[&str], lines: bool) -> Value {
    looked_at(words);
    let done = home.skynet(&[words, &["--json"]].concat());
    let parsed = match lines {
        true => {
            done.out.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>().map(Value::Array)
        }
        false => serde_json::from_str(&done.out),
    };
    parsed.unwrap_or_else(|e| panic!("skynet {words:?} --json: {e}: {done:?}"))
}

/// Words of options and names are no commands.
fn looked_at(words: &[&str]) {
    let known = all_commands();
    let named = |words: &[&str]| Some(words.join(" ")).filter(|words| known.contains(words));
    // The name of a participant may stand before "set" and "unset".
    let found = named(&words[..2.min(words.len())])
        .or_else(|| named(&[words[0], words.get(2)?]))
        .or_else(|| named(&words[..1]));
    LOOKED_AT.lock().unwrap().extend(found);
}

/// The keys of an object, or of the first one in a list.
fn keys(value: &Value) -> Vec<String> {
    let object = value.as_object().or_else(|| value[0].as_object());
    object.unwrap_or_else(|| panic!("{value}")).keys().cloned().collect()
}

/// "`--json` everywhere with a documented stable schema": no key may go, and a new one must be in the reference.
#[test]
fn every_command_prints_the_json_that_the_reference_promises() {
    let home = Home::new();
    let reference = fs::read_to_string(tests::checkout().join("docs/reference/json.md")).unwrap();
    let check = |words: &[&str], lines: bool, expected: &str| {
        let value = json(&home, words, lines);
        let found = keys(&value);
        for key in expected.split_whitespace() {
            assert!(found.iter().any(|found| found == key), "skynet {words:?} has no {key}: {value}");
        }
        for key in found {
            assert!(reference.contains(&key), "{key} of skynet {words:?} is not in docs/reference/json.md");
        }
        value
    };
    let place = "home up svscan_pid svscan_log broker participants participants_up settings services logs";
    let service = "name participant state since seconds pid restarts enabled in_flight done failed queue \
                   queue_ready queue_consumers";

    let down = check(&["local", "status"], false, place);
    assert_eq!(
        (&down["up"], &down["svscan_pid"], &down["broker"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    assert_eq!(check(&["local", "up"], false, &format!("{place} started"))["started"], true);
    let up = check(&["local", "up"], false, &format!("{place} started"));
    assert_eq!(
        (&up["started"], &up["broker"]["embedded"], &up["broker"]["state"]),
        (&false.into(), &true.into(), &"up".into())
    );
    check(&["new", "--list"], false, "template about");
    check(&["new", "sizer"], false, "name folder files");
    check(&["test", "./sizer"], false, "participant unit_tests reply passed");
    fs::write(
        home.folder.path().join("sizer/sizer.py"),
        "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n        wid.fields.n = len(wid.fields.text)\n",
    )
    .unwrap();
    assert_eq!(json(&home, &["enable", "./sizer"], false)[0]["queue_consumers"], 1);
    check(&["status"], false, service);
    for verb in ["disable", "enable", "reload", "restart", "kill"] {
        check(&[verb, "sizer"], false, service);
    }
    wait_until("it is up again", || home.skynet(&["status", "sizer"]).code == Some(0));
    check(&["send", "sizer", "-F", "text=a"], false, "wfid sid");
    let reply = json(&home, &["send", "sizer", "-F", "text=abc", "--wait"], true);
    assert_eq!(reply[0]["fields"]["n"], 3, "{reply}");
    json(&home, &["send", "sizer", "--wait", "--wfid", "bad"], true);
    wait_until("the history has it", || home.good(&["history"]).contains("bad"));
    check(&["queues"], false, "queue participants exists ready consumers");
    check(&["config", "sizer"], false, "key value file line");
    check(&["config", "--check"], false, "file error warnings");
    check(&["config", "sizer", "set", "grace", "5s"], false, "file key changed");
    check(&["config", "sizer", "unset", "grace"], false, "file key changed");
    check(&["doctor"], false, "level about found repair");
    wait_until("the log is written", || !home.good(&["log", "sizer"]).is_empty());
    check(&["log", "sizer"], true, "time participant text");
    check(
        &["history"],
        false,
        "participant sid wfid workflow started ended run_ms wait_ms outcome attempt error",
    );
    let stats = "participant count problems error_rate outcomes first last run_ms wait_ms";
    check(&["history", "--stats"], false, stats);
    check(&["trace", "bad"], false, "time participant what text");
    let failed = "participant entry place when kind reason sid wfid workflow attempt answered retries";
    check(&["failed"], false, failed);
    check(&["failed", "sizer", "bad", "--retry"], false, "participant entry sid wfid retried");
    check(&["failed", "sizer", "--all", "--drop"], false, "participant entry sid wfid dropped");
    check(&["register", "sizer"], false, "definition fields variables");
    check(&["unregister", "sizer"], false, "definition fields variables");
    check(&["launch", "--definition", "x"], false, "definition fields variables");
    check(&["config", "sizer", "set", "notify.command", "[\"/bin/true\"]"], false, "file key changed");
    check(&["notify", "test", "sizer"], false, "service command exit output told");
    assert_eq!(json(&home, &["wi", "status", "w9"], false), Value::Array(vec![]));
    assert_eq!(json(&home, &["wi", "cancel", "w9"], false), Value::Array(vec![]));
    assert_eq!(json(&home, &["wi", "watch", "w9"], true), json!([]), "nobody has it in hand: no line");
    check(&["stop", "sizer"], false, service);
    check(&["start", "sizer"], false, service);
    check(&["stop", "sizer"], false, service);
    home.service("brief", "echo hello; exit 3");
    let run = json(&home, &["run", "./brief", "--once"], true);
    assert!(run[0]["event"] == "started" && run[0]["pid"].is_u64(), "{run}");
    assert_eq!(run[1], json!({"event": "ended", "exit": 3, "signal": null}));
    check(&["once", "sizer"], false, service);
    assert_eq!(json(&home, &["remove", "sizer"], false), Value::Array(vec![]), "what is gone has no row");
    assert_eq!(check(&["local", "down"], false, &format!("{place} killed"))["killed"], Value::Array(vec![]));
    let (all, looked_at) = (all_commands(), LOOKED_AT.lock().unwrap().clone());
    assert!(all.len() > 30, "{all:?}");
    assert_eq!(
        all.difference(&looked_at).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "their JSON was not looked at"
    );
    for command in &all {
        let rows = reference.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let (verb, inner) = command.split_once(' ').unwrap_or((command, ""));
        let of = |row: &str| row.contains(&format!("`{verb}")) && row.contains(inner);
        assert!(rows.clone().any(of), "docs/reference/json.md has no row for {command}");
    }
}
