//! `--json`: what every command prints is JSON, with the keys that docs/reference/json.md promises.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::promised::Promised;
use home::{Home, Lines, finish, signal, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use unix::process::Signal;

/// Ends when its workitem has text; until then it waits to be cancelled.
const HANDLER: &str = "import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        while wid.fields.wait and not wid.cancelled:
            time.sleep(0.02)
        wid.fields.n = len(wid.fields.text)
    def status(self, wid):
        return 'waiting'
";

/// The commands there are, by the reference, which is made from the table of commands; not those that only group others.
fn all_commands() -> BTreeSet<String> {
    let reference = fs::read_to_string(tests::checkout().join("docs/reference/skynet.md")).unwrap();
    let heading = regex::Regex::new("(?m)^####? `skynet ([a-z ]+)`\n\n.*\n\n    (.*)$").unwrap();
    let found = heading.captures_iter(&reference).filter(|found| !found[2].ends_with(" <COMMAND>"));
    found.map(|found| found[1].to_owned()).collect()
}

/// What a command prints with `--json`: one value.
fn one(home: &Home, words: &[&str]) -> Value {
    let done = home.skynet(&[words, &["--json"]].concat());
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("skynet {words:?} --json: {e}: {done:?}"))
}

/// The same where it is one value on each line.
fn lines(home: &Home, words: &[&str]) -> Value {
    let done = home.skynet(&[words, &["--json"]].concat());
    let all = done.out.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    all.map(Value::Array).unwrap_or_else(|e| panic!("skynet {words:?} --json: {e}: {done:?}"))
}

/// "`--json` everywhere with a documented stable schema": no key may go, and a new one must be in the reference.
#[test]
fn every_command_prints_the_json_that_the_reference_promises() {
    let (home, mut promised) = (Home::new(), Promised::read());
    let commands = all_commands();
    assert!(commands.len() > 30, "{commands:?}");
    assert_eq!(commands.difference(&promised.commands()).collect::<Vec<_>>(), Vec::<&String>::new());
    let mut check = |command: &str, words: &[&str]| {
        let value = one(&home, words);
        promised.compare(command, &value);
        value
    };

    let down = check("local status", &["local", "status"]);
    assert_eq!(
        (&down["up"], &down["svscan_pid"], &down["broker"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    assert_eq!(check("local up", &["local", "up"])["started"], true);
    let up = check("local up", &["local", "up"]);
    assert_eq!(
        (&up["started"], &up["broker"]["embedded"], &up["broker"]["state"]),
        (&false.into(), &true.into(), &"up".into())
    );
    check("local status", &["local", "status"]);
    check("new --list", &["new", "--list"]);
    check("new", &["new", "sizer"]);
    check("test", &["test", "./sizer"]);
    fs::write(home.folder.path().join("sizer/sizer.py"), HANDLER).unwrap();
    assert_eq!(check("enable", &["enable", "./sizer"])[0]["queue_consumers"], 1);
    check("status", &["status"]);
    for verb in ["disable", "enable", "reload", "restart", "kill"] {
        check(verb, &[verb, "sizer"]);
    }
    wait_until("it is up again", || home.skynet(&["status", "sizer"]).code == Some(0));
    check("send", &["send", "sizer", "-F", "text=a"]);
    let reply = one(&home, &["send", "sizer", "-F", "text=abc", "--wait"]);
    assert_eq!(reply["fields"]["n"], 3, "{reply}");
    one(&home, &["send", "sizer", "--wait", "--wfid", "bad"]);
    wait_until("the history has it", || home.good(&["history"]).contains("bad"));
    check("queues", &["queues"]);
    check("config", &["config", "sizer"]);
    check("config --check", &["config", "--check"]);
    check("config set", &["config", "sizer", "set", "grace", "5s"]);
    check("config unset", &["config", "sizer", "unset", "grace"]);
    check("doctor", &["doctor"]);
    check("history", &["history"]);
    check("history --stats", &["history", "--stats"]);
    check("trace", &["trace", "bad"]);
    check("failed", &["failed"]);
    check("failed --retry", &["failed", "sizer", "bad", "--retry"]);
    check("failed NAME ENTRY", &["failed", "sizer", "bad"]);
    check("failed --all", &["failed", "--all"]);
    check("failed --drop", &["failed", "sizer", "--all", "--drop"]);
    check("register", &["register", "sizer"]);
    check("unregister", &["unregister", "sizer"]);
    check("launch", &["launch", "--definition", "Ruote.define do x end"]);
    check("config set", &["config", "sizer", "set", "notify.command", "[\"/bin/true\"]"]);
    check("notify test", &["notify", "test", "sizer"]);

    // Workitems in hand.
    for words in [["wi", "status", "w9"], ["wi", "cancel", "w9"]] {
        assert_eq!(one(&home, &words), json!([]), "nobody has it in hand");
    }
    assert_eq!(lines(&home, &["wi", "watch", "w9"]), json!([]), "nobody has it in hand: no line");
    home.good(&["send", "sizer", "--wfid", "held", "-F", "wait=true", "-F", "text=a"]);
    wait_until("it is in hand", || one(&home, &["wi", "status", "held"]) != json!([]));
    check("wi status", &["wi", "status", "held"]);
    let mut watch = home.start(&["wi", "watch", "held", "--json"]);
    let line = Lines::of(watch.stdout.take().unwrap()).until("held");
    signal(&watch, Signal::SIGINT);
    assert_eq!(finish(watch).code, Some(130));
    check("wi cancel", &["wi", "cancel", "held"]);
    wait_until("it is cancelled", || one(&home, &["wi", "status", "held"]) == json!([]));

    check("stop", &["stop", "sizer"]);
    check("start", &["start", "sizer"]);
    check("stop", &["stop", "sizer"]);
    check("once", &["once", "sizer"]);
    assert_eq!(check("remove", &["remove", "sizer"]), json!([]), "what is gone has no row");
    let end = check("local down", &["local", "down"]);
    assert_eq!(end["killed"], json!([]));

    promised.compare("wi watch", &serde_json::from_str(&line).unwrap());
    promised.compare("log", &lines(&home, &["log", "sizer"]));
    let brief = home.service("brief", "echo hello; exit 3");
    let mut run = home.start(&["run", "./brief", "--json"]);
    let mut said = Lines::of(run.stdout.take().unwrap());
    let mut event = |word: &str| {
        let value: Value = serde_json::from_str(&said.until(&format!("\"{word}\""))).unwrap();
        promised.compare("run", &value);
        value
    };
    assert!(event("started")["pid"].is_u64());
    assert_eq!(event("ended"), json!({"event": "ended", "exit": 3, "signal": null}));
    fs::write(brief.join("saved"), "").unwrap();
    assert!(event("saved")["file"].as_str().unwrap().contains("saved"));
    signal(&run, Signal::SIGINT);
    assert_eq!(finish(run).code, Some(130));
    assert_eq!(promised.left(), ["remove"], "the JSON of others was not compared");
}
