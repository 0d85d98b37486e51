//! `soft_timeout`, `hard_timeout`, `max_rss`, `max_workitems`: "each of which ends in an error reply or a clean restart,
//! never in a loss". Where a restart is involved, under the real supervise.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use state::failed::{FailedStore, Kind};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::amqp::{Client, Messages};
use tests::service::Service;
use tests::{Participant, Running, workitem};
use unix::process::Signal;

const HANDLER: &str = "
import os, time
kept = []
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.fields.pid = os.getpid()
        print('begun', wid.wfid)
        if wid.fields.sleep: time.sleep(wid.fields.sleep)
        while wid.fields.until and not os.path.exists(wid.fields.until): time.sleep(0.02)
        if wid.fields.loop:
            while True: pass
        if wid.fields.stubborn:
            while True:
                try: time.sleep(100)
                except BaseException: print('caught')
        if wid.fields.tidy:
            try: time.sleep(100)
            except BaseException as e:
                wid.fields.tidied = str(e)
        if wid.fields.mib: kept.append(bytearray(os.urandom(1 << 20) * wid.fields.mib))
        wid.fields.done = True
";

/// Starts it under supervise, and waits until it consumes.
fn supervised(p: &Participant) -> (Service<'_>, Running) {
    let service = Service::new(&p.sandbox, "sizer", "exec exo 2>&1");
    let mut supervise = service.supervise();
    supervise.wait_until_it_says("consuming from sizer ");
    (service, supervise)
}

fn end(service: &Service<'_>, supervise: &mut Running) -> String {
    service.svc("-dx");
    supervise.finish().out
}

fn kinds(p: &Participant) -> Vec<(Kind, String)> {
    let entries = FailedStore::list(&p.sandbox.path("participants/sizer")).unwrap();
    entries.into_iter().map(|entry| (entry.about.kind, entry.about.reason)).collect()
}

fn ask(client: &Client, replies: &mut Messages<'_>, wfid: &str, fields: Value) -> Value {
    client.publish("sizer", workitem(wfid, fields));
    let reply = replies.receive_json();
    assert_eq!(reply["fei"]["wfid"], wfid);
    reply
}

/// `soft_timeout`: the handler is told to stop, as by `skynet wi cancel --force`: an error reply, and the process stays.
/// A handler that waits in a system call is woken. One that catches that may tidy up and answer as it likes.
#[test]
fn beyond_soft_timeout_a_handler_is_told_to_stop_and_its_process_stays() {
    let p = Participant::on_skynet(HANDLER, "soft_timeout = \"4s\"\n");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let told = "longer than soft_timeout (4 s)";
    let reply = ask(&client, &mut replies, "w1", json!({"loop": true}));
    assert_eq!(reply["error"]["message"], format!("Cancelled: {told}"));
    assert!(reply["error"]["trace"].as_array().is_some_and(|trace| !trace.is_empty()), "{reply}");
    let reply = ask(&client, &mut replies, "w2", json!({"tidy": true}));
    assert_eq!((&reply["fields"]["done"], reply.get("error")), (&json!(true), None));
    let reply = ask(&client, &mut replies, "w3", json!({}));
    assert_eq!((&reply["fields"]["pid"], reply.get("error")), (&json!(exo.pid()), None), "the process stays");
    exo.wait_until_it_says(&format!("WARN sizer w1: has been running {told}"));
    assert_eq!(kinds(&p), [(Kind::Exception, format!("Cancelled: {told}"))]);
    exo.terminate();
    assert_eq!(client.depth("sizer"), 0);
}

/// `hard_timeout`: the workitem is answered, kept, and not run again; what else runs may finish, and a new process goes
/// on with the rest.
#[test]
fn beyond_hard_timeout_a_workitem_is_answered_and_a_new_process_goes_on() {
    let p = Participant::on_skynet(HANDLER, "hard_timeout = \"8s\"\nconcurrency = 2\nprefetch = 4\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let (service, mut supervise) = supervised(&p);
    let first = service.pid().unwrap();
    for (wfid, fields) in [
        ("stubborn", json!({"stubborn": true})),
        ("other", json!({"sleep": 4})),
        ("sleeping", json!({"sleep": 5})),
        ("waiting", json!({})),
    ] {
        client.publish("sizer", workitem(wfid, fields));
    }
    let mut pids = BTreeSet::new();
    for _ in 0..4 {
        let reply = replies.receive_json();
        let error = reply["error"]["message"].as_str();
        let expected =
            (reply["fei"]["wfid"] == "stubborn").then_some("the handler took longer than hard_timeout (8 s)");
        assert_eq!(error, expected, "{reply}");
        pids.extend(reply["fields"]["pid"].as_i64());
    }
    let reply = ask(&client, &mut replies, "after", json!({}));
    assert_ne!(reply["fields"]["pid"], first);
    let said = end(&service, &mut supervise);
    assert_eq!(said.matches("begun stubborn").count(), 1, "{said}");
    assert!(
        said.contains("the handler is still at work on stubborn: finishing what runs, to be started anew"),
        "{said}"
    );
    assert_eq!(kinds(&p), [(Kind::Timeout, "the handler took longer than hard_timeout (8 s)".into())]);
    assert_eq!(client.depth("sizer"), 0);
}

/// The same for a program, which can be made to end: TERM at `soft_timeout`, KILL of all that it started at
/// `hard_timeout`. exo itself stays.
#[test]
fn programs_are_ended_by_both_timeouts() {
    let script = "trap '[ $SKYNET_WFID = hard ] || { echo tidying >&2; exit 3; }' TERM; echo begun >&2\n\
                  while :; do sleep 0.1; done";
    for (config, wfid, message, kind) in [
        ("soft_timeout = \"4s\"\n", "soft", "longer than soft_timeout (4 s): exit code 3: ", Kind::Exception),
        (
            "hard_timeout = \"500ms\"\n",
            "hard",
            "the handler took longer than hard_timeout (0.5 s)",
            Kind::Timeout,
        ),
    ] {
        let p = Participant::on_skynet("", &format!("exec = [\"./work\"]\n{config}"));
        p.sandbox.script("sizer/work", script);
        let client = p.broker.client();
        let mut exo = p.start();
        let mut replies = client.replies();
        let reply = ask(&client, &mut replies, wfid, json!({}));
        let told = reply["error"]["message"].as_str().unwrap();
        assert!(told.starts_with(message) && (wfid == "hard" || told.ends_with("tidying")), "{told}");
        p.sandbox.wait_until("the program is gone", || {
            p.sandbox.leftovers().iter().all(|process| !process.words.ends_with(" ./work"))
        });
        assert!(exo.runs() && kinds(&p)[0].0 == kind, "{:?}", kinds(&p));
        assert_eq!(exo.terminate().code, Some(0));
        assert_eq!(client.depth("sizer"), 0);
    }
}

/// `max_workitems`, `max_rss`: each workitem is answered once, by several processes that each ended in order.
#[test]
fn a_process_that_has_done_enough_or_is_too_large_makes_room_without_a_loss() {
    for (config, fields, reason) in [
        ("max_workitems = 4\nconcurrency = 2\n", json!({}), "4 workitems, as many as max_workitems"),
        ("max_rss = \"120M\"\nprefetch = 5\n", json!({"mib": 60}), "MiB of memory, more than max_rss"),
    ] {
        let p = Participant::on_skynet(HANDLER, config);
        let client = p.broker.client();
        let mut replies = client.replies();
        let (service, mut supervise) = supervised(&p);
        for n in 0..8 {
            client.publish("sizer", workitem(&format!("w{n}"), fields.clone()));
        }
        let (mut wfids, mut pids) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..8 {
            let reply = replies.receive_json();
            assert_eq!(reply.get("error"), None, "{reply}");
            wfids.insert(reply["fei"]["wfid"].to_string());
            pids.insert(reply["fields"]["pid"].as_i64());
        }
        assert!(wfids.len() == 8 && pids.len() > 1, "{config}: {wfids:?} {pids:?}");
        p.sandbox.wait_until("all are acknowledged", || client.depth("sizer") == 0);
        let said = end(&service, &mut supervise);
        assert!(said.contains(reason) && said.contains("finishing what runs, to be started anew"), "{said}");
        assert_eq!(said.matches("begun").count(), 8, "{said}");
        assert_eq!(kinds(&p), []);
    }
}

/// What runs when a process makes room is not cut at `grace`: nobody is in a hurry, and a crash of it is one still. TERM is.
#[test]
fn a_process_that_makes_room_waits_for_what_runs_longer_than_the_grace() {
    let busy = |config: &str| {
        let config = format!("max_workitems = 1\nconcurrency = 2\ngrace = \"1s\"\n{config}");
        let p = Participant::on_skynet(HANDLER, &config);
        let client = p.broker.client();
        let mut exo = p.start();
        client.publish("sizer", workitem("long", json!({"until": p.sandbox.path("until")})));
        exo.wait_until_it_says("begun long");
        client.publish("sizer", workitem("short", json!({})));
        assert_eq!(client.replies().receive_json()["fei"]["wfid"], "short");
        exo.wait_until_it_says("finishing what runs, to be started anew");
        (p, client, exo)
    };
    for config in ["", "hard_timeout = \"60s\"\n"] {
        let (p, client, mut exo) = busy(config);
        std::thread::sleep(Duration::from_secs(2)); // longer than the grace
        p.sandbox.write("until", "");
        assert_eq!(client.replies().receive_json()["fei"]["wfid"], "long");
        let done = exo.finish();
        assert_eq!((done.code, done.out.matches("begun").count()), (Some(0), 2), "{}", done.out);
        assert_eq!(client.depth("sizer"), 0);
    }
    let (p, client, mut exo) = busy("");
    p.sandbox.wait_until("its status says so", || {
        p.sandbox.read(format!("participants/sizer/live/{}.json", exo.pid())).contains("to be started anew")
    });
    exo.signal(Signal::SIGTERM);
    assert_eq!(exo.finish().code, Some(0));
    assert_eq!(client.depth("sizer"), 1);
}

/// A limit that is met while the process is told to stop is no reason to take longer.
#[test]
fn a_limit_that_is_met_while_the_process_ends_changes_nothing() {
    let p = Participant::on_skynet(HANDLER, "max_workitems = 1\n");
    let client = p.broker.client();
    let mut exo = p.start();
    let until = p.sandbox.path("until");
    client.publish("sizer", workitem("w1", json!({"until": until})));
    exo.wait_until_it_says("begun w1");
    exo.signal(Signal::SIGTERM);
    exo.wait_until_it_says("taking no more work, 1 in hand");
    p.sandbox.write(until, "");
    assert_eq!(client.replies().receive_json()["fei"]["wfid"], "w1");
    let done = exo.finish();
    assert_eq!((done.code, done.out.matches("to be started anew").count()), (Some(0), 0), "{}", done.out);
}
