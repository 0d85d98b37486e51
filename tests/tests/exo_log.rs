//! The log's lines, whatever the names in them are: "each line with time, level, participant, wfid where there is one";
//! what comes from outside begins no line of its own.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use tests::{Participant, workitem};

const HANDLER: &str = "
import logging
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('said', wid.wfid)
        self.log.info('logged %s', wid.wfid)
        logging.getLogger(wid.wfid).warning('of a library')
        if wid.fields.boom: raise ValueError(wid.wfid)
        if wid.fields.forget: wid.forget = True
";

/// Names that would forge a line, move the cursor, or be taken for something else.
const NAMES: [&str; 7] = [
    "w1\nERROR forged: by a line end",
    "w2\r\x1b[2K forged: by a carriage return",
    "w3\u{85}forged\u{2028}forged",
    "w4: with a colon",
    " ",
    "w5\0nul",
    "w6\u{202e}backwards \"quoted\"",
];

/// Everything that a participant does with a workitem of this name; what it says.
fn say_all(handler: &str, config: &str) -> String {
    let p = Participant::on_skynet(handler, &format!("{config}\n[fields]\nn = {{ type = \"integer\" }}\n"));
    p.sandbox.script("sizer/work", "echo said; echo said >&2; printf 'half' >&2");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    for name in NAMES {
        for fields in [json!({}), json!({"boom": true}), json!({"n": "no number"})] {
            client.publish("sizer", workitem(name, fields));
            assert_eq!(replies.receive_json()["fei"]["wfid"], name);
        }
        client.publish("sizer", workitem(name, json!({"forget": true, "n": 1.5})));
        let cancel =
            json!({"cancel": true, "fei": {"wfid": name, "expid": "0", "subid": "s", "engine_id": "e"}});
        client.publish("sizer", cancel.to_string());
    }
    p.sandbox.wait_until("all is worked on", || client.depth("sizer") == 0);
    exo.signal(unix::process::Signal::SIGUSR1);
    let done = exo.terminate();
    assert_eq!(done.code, Some(0), "{}", done.out);
    done.out
}

#[test]
fn a_name_from_outside_begins_no_line_and_moves_no_cursor() {
    for (handler, config) in [(HANDLER, ""), ("", "exec = [\"./work\"]\n")] {
        let out = say_all(handler, config);
        for line in out.split_terminator('\n') {
            let begins =
                [" INFO sizer", " WARN sizer", "ERROR sizer"].iter().any(|begin| line.starts_with(begin));
            // What the handler itself says may have what it likes.
            let own = line.contains(": said ") || line.contains(": logged ");
            let odd = line.chars().find(|c| c.is_control() && *c != '\t' && !own);
            assert!(begins && odd.is_none(), "{line:?} in {out}");
        }
        assert!(out.contains("sizer w1\\nERROR forged: by a line end: "), "{out}");
    }
}

#[test]
fn as_json_each_line_is_an_object_with_the_wfid_as_it_came() {
    for (handler, config) in
        [(HANDLER, "log_format = \"json\"\n"), ("", "log_format = \"json\"\nexec = [\"./work\"]\n")]
    {
        let out = say_all(handler, config);
        let lines: Vec<Value> =
            out.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines {
            assert!(line["participant"] == "sizer" && line["message"].is_string(), "{line}");
            let wfid = line["wfid"].as_str();
            assert!(wfid.is_none_or(|wfid| NAMES.contains(&wfid)), "{line}");
        }
        for name in NAMES {
            let of = lines.iter().filter(|line| line["wfid"] == name).count();
            assert!(of > 4, "{name:?}: {of} in {out}");
        }
    }
}

/// Also of a process that never has a session, and of one that a fault ends.
#[test]
fn as_json_what_is_fatal_is_an_object_too() {
    const FAULTY: &str = "
import ctypes
class ParticipantHandler(object):
    def handle_wi(self, wid):
        ctypes.string_at(0)
";
    const GOOD: &str = "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n";
    let entries = |out: &str| -> Vec<Value> {
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {out}"))).collect()
    };
    for (handler, config, says) in [
        ("def x(:\n", "", "cannot import the handler: SyntaxError: "),
        (GOOD, "python = \"./none\"\n", "sizer/none: "),
        (GOOD, "user = \"no-such-account\"\n", "no-such-account"),
    ] {
        let warned = "log_format = \"json\"\n[fialed]\nmax = 1\n";
        let p = Participant::on_skynet(handler, &format!("{config}{warned}"));
        let done = p.launch("config.exo").finish();
        let [warning, fatal] = &entries(&done.out)[..] else { panic!("{config}: {}", done.out) };
        assert_eq!((done.code, fatal["level"].as_str()), (Some(111), Some("ERROR")), "{fatal}");
        assert!(fatal["message"].as_str().unwrap().contains(says), "{fatal}");
        assert!(
            warning["level"] == "WARN" && warning["message"].as_str().unwrap().contains("[failed]"),
            "{warning}"
        );
        for entry in [warning, fatal] {
            assert!(
                entry["participant"] == "sizer" && entry["time"].as_str().unwrap().ends_with('Z'),
                "{entry}"
            );
        }
    }
    let p = Participant::on_skynet(FAULTY, "log_format = \"json\"\n");
    let mut exo = p.start();
    p.broker.client().publish("sizer", workitem("w1", json!({})));
    let out = exo.finish().out;
    let entries = entries(&out);
    let said = |text: &str| entries.iter().any(|entry| entry["message"].as_str().unwrap().contains(text));
    assert!(said("Segmentation fault") && said("File \"") && said("in handle_wi"), "{out}");
    assert!(
        entries.iter().all(|entry| entry["participant"] == "sizer" && entry["level"].is_string()),
        "{out}"
    );
}

/// An error of some megabytes: its reply has all of it, the log its beginning and where the rest is, and nothing that
/// comes after it is lost.
#[test]
fn a_long_error_is_told_in_short_and_answered_in_full() {
    const LONG: &str = "
class ParticipantHandler(object):
    def handle_wi(self, wid):
        raise ValueError('x' * (3 << 20))
";
    let p = Participant::on_skynet(LONG, "");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    for wfid in ["w1", "w2"] {
        client.publish("sizer", workitem(wfid, json!({})));
        let message = replies.receive_json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.len(), "ValueError: ".len() + (3 << 20));
        exo.wait_until_it_says(&format!("sizer {wfid}: done in "));
    }
    let out = exo.terminate().out;
    let told: Vec<_> = out.lines().filter(|line| line.contains("ValueError: xxx")).collect();
    assert!(told.len() == 4 && told.iter().all(|line| line.len() < 70_000), "{} lines", told.len());
    assert!(told[1].contains("x; kept in ") && told[3].contains("x; kept in "));
    assert!(!out.contains("were dropped"), "{} bytes", out.len());
}
