//! The live status: a participant that cannot work is seen from outside, with the reason and since when.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod home;

use home::Home;
use serde_json::{Value, json};
use state::live::Live;
use state::moment;
use tests::{Broker, Participant, Sandbox, workitem};

const HANDLER: &str = "
import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        time.sleep(wid.fields.sleep or 0)
";

fn live(p: &Participant) -> Option<Live> {
    state::live::read(&p.sandbox.path("participants/sizer")).pop()
}

/// Waits until the status says so, and returns it.
fn wait_for(p: &Participant, consuming: bool, words: &str) -> Live {
    p.sandbox.wait_for(&format!("the status says {words:?}"), || {
        live(p).filter(|live| live.consuming == consuming && live.state.contains(words))
    })
}

/// "Never silently idle: a participant that cannot work says so … in `skynet status`": a broker that is stopped.
#[test]
fn a_broker_that_is_away_is_in_the_status_with_the_reason_and_since_when() {
    let mut p = Participant::on_skynet(HANDLER, "");
    let exo = p.start();
    let working = wait_for(&p, true, "consuming from sizer at amqp://");
    p.broker.process().terminate();
    let away = wait_for(&p, false, "not consuming: ");
    assert!(away.consuming_since >= working.consuming_since && away.consuming_since <= moment::now());
    assert!(!away.state.contains("a-test"), "no password: {}", away.state);
    // Other reasons of the same absence may follow; it has lasted since then all the same.
    let refused = wait_for(&p, false, "onnection refused");
    assert_eq!(refused.consuming_since, away.consuming_since);
    let Participant { sandbox, broker } = &mut p;
    broker.start_again(sandbox);
    let back = wait_for(&p, true, "consuming from sizer at amqp://");
    assert!(back.consuming_since > away.consuming_since);
    drop(exo);
}

#[test]
fn a_wrong_password_is_in_the_status() {
    let p = Participant::on_skynet(HANDLER, "");
    p.sandbox
        .write("boss.conf", format!("[amqp]\nurl = \"{}\"\n", p.broker.url().replace("a-test", "an0ther")));
    let mut exo = p.launch("config.exo");
    let live = wait_for(&p, false, "not consuming: cannot connect");
    assert!(live.state.contains("ACCESS_REFUSED") && !live.state.contains("an0ther"), "{}", live.state);
    exo.wait_until_it_says("trying again until it works");
    assert_eq!(exo.terminate().code, Some(0));
    assert_eq!(self::live(&p), None, "nothing is left of a process that has ended");
}

/// The queue is deleted and declared otherwise; then it can be used again.
#[test]
fn a_queue_that_cannot_be_used_is_in_the_status() {
    let sandbox = Sandbox::new();
    let broker = Broker::rabbitmq();
    let p = Participant::new(sandbox, broker, HANDLER, "queue_type = \"quorum\"\n");
    let client = p.broker.client();
    client.declare("sizer");
    let _exo = p.launch("config.exo");
    wait_for(&p, false, "PRECONDITION_FAILED");
    client.delete("sizer");
    wait_for(&p, true, "consuming from sizer");
    client.delete("sizer");
    p.sandbox.wait_until("it is declared again", || client.queue("sizer").is_some_and(|q| q.consumers == 1));
    wait_for(&p, true, "consuming from sizer");
}

/// What was done and failed is counted on by the next process, however the last one ended.
#[test]
fn workitems_are_counted_over_processes() {
    let p = Participant::on_skynet(
        "import os\nclass ParticipantHandler(object):\n    def handle_wi(self, wid): getattr(os, wid.fields.do or 'getpid')()\n",
        "max_attempts = 1\n",
    );
    let client = p.broker.client();
    let mut replies = client.replies();
    let counts = || live(&p).map(|live| (live.done, live.failed));
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({})));
    client.publish("sizer", workitem("w2", json!({"do": "nothing"})));
    replies.receive_all(2);
    p.sandbox.wait_until("both are counted", || counts() == Some((1, 1)));
    assert_eq!(exo.terminate().code, Some(0));
    exo = p.start();
    p.sandbox.wait_until("they still are", || counts() == Some((1, 1)));
    client.publish("sizer", workitem("w3", json!({"do": "abort"})));
    exo.finish();
    let _exo = p.start();
    replies.receive();
    p.sandbox.wait_until("the crash is counted too", || counts() == Some((1, 2)));
}

/// One that is told to stop and still at work.
#[test]
fn one_that_ends_is_in_the_status_too() {
    let p = Participant::on_skynet(HANDLER, "");
    let client = p.broker.client();
    let exo = p.start();
    client.publish("sizer", workitem("w1", json!({"sleep": 600})));
    p.sandbox.wait_until("it is in hand", || live(&p).is_some_and(|live| live.in_flight.len() == 1));
    exo.signal(unix::process::Signal::SIGTERM);
    let live = wait_for(&p, false, "not consuming: told to stop");
    assert_eq!(live.in_flight[0].wfid, "w1");
}

/// "Never silently idle: … and in `skynet status`."
#[test]
fn skynet_status_shows_why_a_participant_does_no_work() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    let status = || {
        let done = home.skynet(&["status", "sizer", "--json"]);
        serde_json::from_str::<Value>(&done.out).unwrap()[0].clone()
    };
    home::wait_until("it works", || status()["consuming"] == true);
    assert!(!home.good(&["status"]).contains("consuming"), "there is nothing to say");
    let boss = std::fs::read_to_string(home.path("boss.conf")).unwrap();
    let (before, rest) = boss.split_once("amqp://").unwrap();
    let place = rest.split_once('@').unwrap().1;
    std::fs::write(home.path("boss.conf"), format!("{before}amqp://boss:an0ther@{place}")).unwrap();
    home.skynet(&["restart", "sizer"]);
    home::wait_until("it cannot", || status()["consuming"] == false);
    home::wait_until("it knows why", || {
        status()["work"].as_str().is_some_and(|why| why.contains("ACCESS_REFUSED"))
    });
    home::wait_until("people are told why, and since when", || {
        let shown = home.skynet(&["status"]).out;
        assert!(!shown.contains("an0ther"), "{shown}");
        let why = "sizer: not consuming: cannot connect to amqp://";
        shown.lines().any(|line| line.starts_with(why) && line.contains("(since 20"))
    });
}
