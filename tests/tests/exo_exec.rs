//! Participants that are any program: `exec = [...]`.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use tests::{Participant, workitem};
use unix::process::Signal;

const PROGRAM: &str = r#"
wi=$(cat)
case $SKYNET_WFID in
whole) echo "$wi" | sed 's/"n":1/"n":2/' ;;
fields) echo '{"fields": {"n": 3, "who": "'$SKYNET_PARTICIPANT'", "fei": "'$SKYNET_FEI'", "notify": "'$SKYNET_NOTIFY_FD'"}}' ;;
bare) echo '{"n": 4}' ;;
nothing) ;;
forget) echo '{"fields": {"forget": true}}' ;;
permanent) echo first >&2; echo no such thing >&2; exit 100 ;;
trouble) for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 7 ;;
silent) exit 1 ;;
killed) kill -9 $$ ;;
no-json) echo done ;;
other) echo '{"fields": {}, "fei": {"wfid": "x", "expid": "0"}}' ;;
huge) head -c 3000000 /dev/zero | tr '\0' x; sleep 100 ;;
long-line) head -c 300000 /dev/zero | tr '\0' x >&2; printf '\377\n' >&2 ;;
unread) exec </dev/null; echo '{"n": 5}' ;;
left-behind) sleep 1000 & echo '{"n": 6}' ;;
slow) echo begun >&2; sleep 1000 ;;
esac
"#;

fn participant() -> Participant {
    let p = Participant::on_skynet(
        "",
        "exec = [\"./work\", \"an argument\"]\nmax_body = \"2M\"\ngrace = \"6s\"\n",
    );
    p.sandbox.script("sizer/work", PROGRAM);
    p
}

/// "It gets the workitem's JSON on stdin, one process per workitem, and answers with the workitem (or only the changed
/// `fields`) as JSON on stdout; exit 0 = done, 100 = permanent failure, anything else = error, stderr is the log and
/// the last lines become the error message. Environment: SKYNET_WFID, SKYNET_FEI, SKYNET_PARTICIPANT."
#[test]
fn a_programs_answer_is_the_reply_and_its_failure_an_error() {
    let p = participant();
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let mut ask = |what: &str| {
        client.publish("sizer", workitem(what, json!({"n": 1, "rate": 1.5})));
        replies.receive_json()
    };
    for (what, n) in [
        ("whole", 2),
        ("fields", 3),
        ("bare", 4),
        ("nothing", 1),
        ("unread", 5),
        ("left-behind", 6),
        ("long-line", 1),
    ] {
        let reply = ask(what);
        assert_eq!((&reply["fields"]["n"], &reply["error"]), (&json!(n), &Value::Null), "{what}: {reply}");
        assert_eq!((&reply["fei"]["wfid"], &reply["fields"]["rate"]), (&json!(what), &json!(1.5)));
        assert_eq!(reply["unknown"], json!([1, {"kept": true}]), "{what}");
        if what == "fields" {
            let fields = &reply["fields"];
            let seen = (&fields["who"], &fields["fei"], &fields["notify"]);
            assert_eq!(seen, (&json!("sizer"), &json!("0_0!s!fields"), &json!("")));
        }
    }
    for (what, message) in [
        ("permanent", "permanent failure (exit code 100): first\nno such thing"),
        ("trouble", "exit code 7: line 3\nline 4\nline 5\nline 6\nline 7"),
        ("silent", "exit code 1"),
        ("killed", "ended by signal 9"),
        ("no-json", "its answer is not a JSON object: expected value at line 1 column 1"),
        ("other", "its answer is another workitem: 0!!x"),
        ("huge", "its answer is longer than max_body, 2097152 bytes"),
    ] {
        let reply = ask(what);
        assert_eq!(reply["error"]["message"], message, "{what}");
        assert_eq!((&reply["error"]["class"], &reply["fields"]["n"]), (&json!("RuntimeError"), &json!(1)));
    }
    // "forget honoured": what comes after it is answered first.
    client.publish("sizer", workitem("forget", json!({})));
    assert_eq!(ask("bare")["fei"]["wfid"], "bare");
    exo.wait_until_it_says("sizer permanent: no such thing");
    p.sandbox.wait_until("no program is left", || {
        p.sandbox.leftovers().iter().all(|process| process.program != "sleep")
    });
    exo.signal(Signal::SIGTERM);
    assert_eq!(exo.finish().code, Some(0));
    assert_eq!(client.depth("sizer"), 0);
}

/// "Before the delivery of an `exec` participant goes back, its process group is killed."
#[test]
fn a_program_that_does_not_end_in_time_is_ended_with_its_group_and_its_workitem_goes_back() {
    let p = participant();
    let client = p.broker.client();
    client.declare("ruote_workitems");
    let mut exo = p.start();
    client.publish("sizer", workitem("slow", json!({})));
    exo.wait_until_it_says("sizer slow: begun");
    exo.signal(Signal::SIGTERM);
    exo.signal(Signal::SIGTERM);
    exo.finish();
    p.sandbox.wait_until("no program is left", || {
        p.sandbox.leftovers().iter().all(|process| process.program != "sleep")
    });
}

/// A program that goes while exo runs is named to each workitem.
#[test]
fn a_program_that_is_gone_is_named() {
    let p = participant();
    let client = p.broker.client();
    let mut exo = p.start();
    std::fs::remove_file(p.sandbox.path("sizer/work")).unwrap();
    client.publish("sizer", workitem("w1", json!({})));
    let message = client.replies().receive_json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("cannot run ") && message.ends_with("sizer/work: No such file or directory"),
        "{message}"
    );
    assert_eq!(exo.terminate().code, Some(0));
}
