//! At least once, and effectively once: what is in hand survives kill -9, a reply that was computed is not
//! computed again, and what takes its process down is given up.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::json;
use state::failed::{FailedStore, Kind};
use state::history::{Filter, History, Order, Outcome};
use std::fs;
use std::path::Path;
use tests::process::signal;
use tests::{Broker, Participant, Running, Sandbox, workitem};
use unix::process::Signal;

/// Counts its runs per workitem in a file that outlives it, and does what the fields ask for.
const COUNTER: &str = "
import os, signal, time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        with open(os.path.join(os.environ['RUNS'], wid.wfid), 'a') as f:
            f.write('%s %d\\n' % (wid.redelivered, wid.attempt))
        print('begun ' + wid.wfid)
        if wid.fields.crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if wid.fields.sleep and not wid.redelivered:
            time.sleep(wid.fields.sleep)
        while wid.fields.until and not os.path.exists(wid.fields.until):
            time.sleep(0.02)
        if wid.fields.forget:
            wid.forget = True
        wid.fields.attempt = wid.attempt
        if wid.fields.grow:
            wid.fields.grown = 'x' * wid.fields.grow
";

fn participant(broker: impl FnOnce(&Sandbox) -> Broker, config: &str) -> Participant {
    let sandbox = Sandbox::new();
    let broker = broker(&sandbox);
    let runs = sandbox.folder("runs");
    fs::set_permissions(&runs, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    sandbox.set("RUNS", runs.to_str().unwrap());
    Participant::new(sandbox, broker, COUNTER, config)
}

fn skynet(config: &str) -> Participant {
    participant(Broker::skynet, config)
}

/// The runs of a workitem: (redelivered, attempt).
fn runs(p: &Participant, wfid: &str) -> Vec<String> {
    p.sandbox.read(format!("runs/{wfid}")).lines().map(str::to_owned).collect()
}

fn state(p: &Participant) -> std::path::PathBuf {
    p.sandbox.path("participants/sizer")
}

fn journal(p: &Participant) -> Vec<std::path::PathBuf> {
    fs::read_dir(state(p).join("journal")).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// The outcomes in the history, newest first, once there are so many.
fn history(p: &Participant, count: usize) -> Vec<(String, Outcome, u32)> {
    let rows = || {
        let history = History::open(&state(p)).ok()??;
        let rows = history.rows(&Filter::default(), Order::Newest, 100).ok()?;
        (rows.len() >= count).then_some(rows)
    };
    let rows = p.sandbox.wait_for("the history has all rows", rows);
    rows.into_iter().map(|row| (row.wfid, row.outcome, row.attempt)).collect()
}

fn kill(exo: &mut Running) {
    signal(exo.pid(), Signal::SIGKILL);
    exo.finish();
}

/// "If the handler was running, it runs again with `wid.redelivered`, `wid.attempt`."
#[test]
fn a_handler_that_was_killed_runs_again_and_is_told_so() {
    let p = skynet("");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"sleep": 600})));
    exo.wait_until_it_says("begun w1");
    kill(&mut exo);
    let mut exo = p.start();
    assert_eq!(replies.receive_json()["fields"]["attempt"], 2);
    assert_eq!(runs(&p, "w1"), ["False 1", "True 2"]);
    assert_eq!(history(&p, 1), [("w1".into(), Outcome::Replied, 2)]);
    assert_eq!(exo.terminate().code, Some(0));
    assert_eq!(journal(&p), Vec::<std::path::PathBuf>::new(), "nothing live, no file");
}

/// "If its reply was already computed, the stored reply is published again without running the handler a second
/// time": here the broker is away, so that the reply is computed and cannot be sent.
#[test]
fn a_reply_that_was_computed_before_a_kill_is_sent_by_the_next_process_without_the_handler() {
    let mut p = skynet("");
    let mut exo = p.start();
    let until = p.sandbox.path("until");
    {
        let client = p.broker.client();
        client.publish("sizer", workitem("w1", json!({"until": until})));
        exo.wait_until_it_says("begun w1");
    }
    p.broker.process().terminate();
    p.sandbox.write(until, "");
    p.sandbox.wait_until("its reply waits", || {
        exo.signal(Signal::SIGUSR1);
        exo.out().contains("is done, its reply waits for the broker")
    });
    kill(&mut exo);
    let Participant { sandbox, broker } = &mut p;
    broker.start_again(sandbox);
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    assert_eq!(replies.receive_json()["fields"]["attempt"], 1);
    exo.wait_until_it_says("answered from the journal");
    assert_eq!(runs(&p, "w1"), ["False 1"]);
}

/// "A stored reply is used only if the redelivered body is byte-identical …: an engine's redo of the same fei
/// carries a new dispatched_at and is new work."
#[test]
fn the_same_expression_with_another_body_is_new_work() {
    let p = skynet("");
    let client = p.broker.client();
    let mut replies = client.replies();
    let _exo = p.start();
    for n in 0..2 {
        client.publish("sizer", workitem("w1", json!({"dispatched_at": n})));
        replies.receive_json();
    }
    // The same bytes again are new work too, unless the broker says that it delivered them before.
    client.publish("sizer", workitem("w1", json!({"dispatched_at": 0})));
    replies.receive_json();
    assert_eq!(runs(&p, "w1").len(), 3);
}

/// "A workitem whose handler takes the process down `max_attempts` times is answered with an error reply that
/// carries the attempt history, and parked in the failed store, instead of crashing the participant for ever."
fn a_workitem_that_takes_its_process_down_is_given_up(p: Participant) {
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"crash": true})));
    client.publish("sizer", workitem("w2", json!({})));
    for _ in 0..3 {
        exo.finish();
        exo = p.launch("config.exo");
    }
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"]["wfid"], &reply["error"]["class"]), (&json!("w1"), &json!("RuntimeError")));
    assert_eq!(reply["error"]["trace"].as_array().unwrap().len(), 3, "{}", reply["error"]);
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w2", "the participant lives on");
    assert_eq!(runs(&p, "w1"), ["False 1", "True 2", "True 3"]);
    let kept = FailedStore::list(&state(&p)).unwrap();
    assert_eq!((kept.len(), kept[0].about.kind, kept[0].about.attempts.len()), (1, Kind::Crash, 3));
    assert_eq!(kept[0].workitem().unwrap(), workitem("w1", json!({"crash": true})).as_bytes());
    assert!(history(&p, 2).contains(&("w1".into(), Outcome::Crashed, 3)));
}

/// "One row per handled workitem", also where the next one ends the process before rows are written, and the next again.
#[test]
fn the_history_lacks_nothing_where_one_workitem_after_the_other_ends_the_process() {
    let p = skynet("max_attempts = 1\n");
    let client = p.broker.client();
    client.declare("sizer");
    for (wfid, crash) in
        [("w1", false), ("w2", true), ("w3", true), ("w4", false), ("w5", true), ("w6", false)]
    {
        client.publish("sizer", workitem(wfid, json!({"crash": crash, "forget": wfid == "w4"})));
    }
    for _ in 0..3 {
        p.launch("config.exo").finish();
    }
    let mut exo = p.start();
    exo.wait_until_it_says("w6: done in");
    exo.terminate();
    let mut rows = history(&p, 6);
    rows.sort();
    let ended = [
        Outcome::Replied,
        Outcome::Crashed,
        Outcome::Crashed,
        Outcome::Forgotten,
        Outcome::Crashed,
        Outcome::Replied,
    ];
    let expected: Vec<_> = (1..).zip(ended).map(|(n, outcome)| (format!("w{n}"), outcome, 1)).collect();
    assert_eq!(rows, expected);
    assert_eq!(journal(&p), Vec::<std::path::PathBuf>::new());
}

/// "With concurrency above 1, those that were in flight at a crash run alone afterwards; only a crash while alone
/// counts as an attempt."
#[test]
fn of_those_in_flight_at_a_crash_only_the_culprit_is_given_up() {
    let p = skynet("concurrency = 3\nmax_attempts = 2\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"sleep": 600})));
    client.publish("sizer", workitem("w2", json!({"sleep": 600})));
    exo.wait_until_it_says("begun w1");
    exo.wait_until_it_says("begun w2");
    client.publish("sizer", workitem("w3", json!({"crash": true})));
    // A reply may come twice: a kill may come between it and the acknowledgement.
    let mut answers = std::collections::BTreeMap::new();
    p.sandbox.wait_until("all are answered", || {
        if !exo.runs() {
            exo = p.launch("config.exo");
        }
        if let Some(reply) = replies.receive_within(std::time::Duration::from_millis(100)) {
            let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
            answers.insert(reply["fei"]["wfid"].as_str().unwrap().to_owned(), reply.get("error").is_some());
        }
        answers.len() == 3
    });
    let expected = [("w1", false), ("w2", false), ("w3", true)];
    assert!(answers.iter().map(|(wfid, failed)| (wfid.as_str(), *failed)).eq(expected), "{answers:?}");
    assert_eq!(runs(&p, "w3").len(), 3, "once with others, twice alone");
    exo.terminate();
}

/// "An end by TERM, grace or reboot never counts."
#[test]
fn an_end_by_term_is_no_attempt() {
    let p = skynet("grace = \"1s\"\nmax_attempts = 1\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"sleep": 600})));
    exo.wait_until_it_says("begun w1");
    exo.terminate();
    let _exo = p.start();
    let reply = replies.receive_json();
    assert_eq!((&reply["fields"]["attempt"], reply.get("error")), (&json!(1), None), "{reply}");
}

/// "What cannot be journalled is not started: consuming stops, the delivery goes back, retried with backoff."
#[test]
fn what_cannot_be_journalled_is_not_started_until_it_can() {
    let mut p = skynet("");
    let client = p.broker.client();
    // Made by the test: exo would give it to its user.
    let folder = p.sandbox.folder("participants/sizer");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(folder.join("journal"), "in the way").unwrap();
    let mut exo = p.start();
    client.publish_persistent("sizer", workitem("w1", json!({})));
    exo.wait_until_it_says("cannot write the journal");
    p.sandbox.wait_until("it is back on the queue", || client.depth("sizer") == 1);
    assert_eq!(runs(&p, "w1"), Vec::<String>::new());
    p.sandbox.wait_until("the status says so", || {
        let mut live = state::live::read(Path::new(&folder)).into_iter();
        live.any(|live| !live.consuming && live.state.starts_with("not consuming: cannot write the journal"))
    });
    // A broker that comes back changes nothing about that, and is not said to.
    p.broker.process().kill();
    let Participant { sandbox, broker } = &mut p;
    broker.start_again(sandbox);
    exo.wait_until_it_says(", and takes nothing from the queue: cannot write the journal");
    assert_eq!(exo.out().matches("consuming from").count(), 1, "{}", exo.out());
    let client = p.broker.client();
    let mut replies = client.replies();
    fs::remove_file(folder.join("journal")).unwrap();
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w1");
    assert_eq!(runs(&p, "w1").len(), 1);
}

/// A participant whose journal lies on a disk of 128 KiB. Only root can mount that.
fn on_a_small_disk() -> (Participant, Running) {
    let p = skynet("user = \"root\"\n");
    let folder = p.sandbox.folder("participants/sizer/journal");
    let script =
        format!("mount -t tmpfs -o size=128k tmpfs {} && cd sizer && exec exo 2>&1", folder.display());
    let mut exo = p.sandbox.start("unshare", &["-m", "sh", "-c", &script]);
    exo.wait_until_it_says("consuming from sizer");
    (p, exo)
}

/// "A reply that cannot be journalled is published all the same."
#[test]
fn a_reply_that_the_journal_has_no_room_for_is_sent_all_the_same() {
    if !unix::privileges::is_root() {
        return; // only root can mount
    }
    let (p, mut exo) = on_a_small_disk();
    let client = p.broker.client();
    let mut replies = client.replies();
    for (wfid, grow) in [("w1", 200_000), ("w2", 0)] {
        client.publish("sizer", workitem(wfid, json!({ "grow": grow })));
        let reply = replies.receive_json();
        let grown = reply["fields"]["grown"].as_str().map_or(0, str::len);
        assert_eq!((&reply["fei"]["wfid"], grown), (&json!(wfid), grow));
    }
    let said = "cannot write its reply into the journal: No space left on device";
    exo.wait_until_it_says(said);
    let done = exo.terminate();
    assert_eq!((done.code, done.out.matches(said).count()), (Some(0), 1), "{}", done.out);
    assert_eq!(client.depth("sizer"), 0);
}

/// The journal lies on a disk of its own that is smaller than a file of the journal may become: what is over and done with
/// makes room.
#[test]
fn a_disk_that_is_full_of_what_is_done_is_no_trouble() {
    if !unix::privileges::is_root() {
        return; // only root can mount
    }
    let (p, _exo) = on_a_small_disk();
    let client = p.broker.client();
    let mut replies = client.replies();
    // Each is there twice, as it came and as it went.
    for number in 0..300 {
        client.publish("sizer", workitem(&format!("w{number}"), json!({ "text": "x".repeat(1000) })));
    }
    for number in 0..300 {
        assert_eq!(replies.receive_json()["fei"]["wfid"], format!("w{number}"));
    }
}

/// "What cannot be parked is not acknowledged."
#[test]
fn what_cannot_be_parked_is_not_acknowledged_until_it_is() {
    let p = skynet("");
    let client = p.broker.client();
    let folder = p.sandbox.folder("participants/sizer");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(folder.join("failed"), "in the way").unwrap();
    let mut exo = p.start();
    client.publish("sizer", b"not JSON");
    exo.wait_until_it_says("not acknowledged, trying again");
    fs::remove_file(folder.join("failed")).unwrap();
    exo.wait_until_it_says("and acknowledged");
    assert_eq!(FailedStore::list(&folder).unwrap()[0].workitem().unwrap(), b"not JSON");
    exo.terminate();
    assert_eq!(client.depth("sizer"), 0);
}

/// "With `forget`, acknowledged after `handle_wi` returned and the journal says so": finished, and not run again.
#[test]
fn a_forgotten_workitem_is_finished_in_the_journal() {
    let p = skynet("");
    let client = p.broker.client();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"forget": true})));
    assert_eq!(history(&p, 1), [("w1".into(), Outcome::Forgotten, 1)]);
    // One at a time: the next one is given to who has acknowledged the first.
    client.publish("sizer", workitem("w2", json!({"sleep": 600})));
    exo.wait_until_it_says("begun w2");
    kill(&mut exo);
    p.sandbox.wait_until("what was not acknowledged is back", || client.depth("sizer") == 1);
    let back: serde_json::Value = serde_json::from_slice(&client.take("sizer").unwrap()).unwrap();
    assert_eq!(back["fei"]["wfid"], "w2");
}

/// "`hard_timeout` … ends in an error reply or a clean restart, never in a loss."
#[test]
fn a_handler_beyond_its_hard_timeout_is_answered_and_the_process_makes_room_for_another() {
    let p = skynet("hard_timeout = \"2s\"\ngrace = \"1s\"\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"sleep": 60})));
    client.publish("sizer", workitem("w2", json!({})));
    let reply = replies.receive_json();
    assert!(reply["error"]["message"].as_str().unwrap().contains("hard_timeout"), "{reply}");
    assert_eq!(exo.finish().code, Some(0));
    let _exo = p.start();
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w2");
    assert_eq!(runs(&p, "w1").len(), 1);
    assert_eq!(FailedStore::list(&state(&p)).unwrap()[0].about.kind, Kind::Timeout);
}

/// `max_workitems`: a clean restart.
#[test]
fn after_max_workitems_the_process_ends_in_order() {
    let p = skynet("max_workitems = 2\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    for n in 0..3 {
        client.publish("sizer", workitem(&format!("w{n}"), json!({})));
    }
    let done = exo.finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("as many as max_workitems"), "{done:?}");
    replies.receive_all(2);
    p.sandbox.wait_until("the third is on the queue", || client.depth("sizer") == 1);
}

/// The failed store holds "as much debug information as possible; including a copy of the incoming workitem", and
/// no secrets.
#[test]
fn an_exception_leaves_everything_there_is_to_know_and_no_secret() {
    let p = skynet("");
    p.sandbox.set("MY_TOKEN", "s3cret-word");
    p.sandbox.write("sizer/sizer.py", "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n        raise ValueError('boom')\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let _exo = p.start();
    client.publish("sizer", workitem("w1", json!({"text": "x"})));
    replies.receive_json();
    let entry = p.sandbox.wait_for("it is kept", || FailedStore::list(&state(&p)).unwrap().pop());
    let about = &entry.about;
    assert_eq!(
        (about.kind, about.reason.as_str(), about.answered),
        (Kind::Exception, "ValueError: boom", true)
    );
    assert_eq!((about.sid.as_str(), about.workflow.as_str()), ("0_0!s!w1", "test"));
    assert!(entry.traceback().unwrap().contains("line 3, in handle_wi"));
    assert_eq!(entry.workitem().unwrap(), workitem("w1", json!({"text": "x"})).as_bytes());
    assert!(about.versions.contains_key("skynet") && about.environment.contains_key("PATH"), "{about:?}");
    for file in fs::read_dir(&entry.place).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("s3cret-word") && !text.contains("a-test's"), "{text}");
    }
}

mod given_up {
    use super::*;

    #[test]
    fn on_rabbitmq() {
        a_workitem_that_takes_its_process_down_is_given_up(participant(|_| Broker::rabbitmq(), ""));
    }

    #[test]
    fn on_skynet_broker() {
        a_workitem_that_takes_its_process_down_is_given_up(skynet(""));
    }
}
