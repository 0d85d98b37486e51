//! What goes over the wire, and the settings that change it.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use state::history::{Filter, History, Order};
use tests::amqp::REPLIES;
use tests::{Broker, Participant, Sandbox, workitem};

const HANDLER: &str = "
import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun', wid.wfid)
        if wid.fields.boom: raise ValueError('boom')
        if wid.fields.sleep: time.sleep(wid.fields.sleep)
";

fn on_rabbitmq(config: &str) -> Participant {
    Participant::new(Sandbox::new(), Broker::rabbitmq(), HANDLER, config)
}

/// "The whole workitem, same fei, exchange `''`, routing key `ruote_workitems` …, delivery mode 2"; both queues "declared
/// durable, not exclusive, not auto-delete, no arguments", so that whoever declares them so too is content.
#[test]
fn a_reply_is_persistent_and_both_queues_are_declared_as_the_engine_does() {
    let p = on_rabbitmq("error_class = \"ArgumentError\"\njournal_sync = true\n");
    let client = p.broker.client();
    let mut exo = p.start();
    client.declare("sizer");
    client.publish("sizer", workitem("w1", json!({})));
    p.sandbox.wait_until("it is replied to", || client.depth(REPLIES) == 1);
    client.declare(REPLIES);
    let reply = client.take_whole(REPLIES).unwrap();
    assert_eq!((reply.exchange.as_str(), reply.routing_key.as_str()), ("", REPLIES));
    assert_eq!(*reply.properties.delivery_mode(), Some(2));
    let sent: Value = serde_json::from_str(&workitem("w1", json!({}))).unwrap();
    let body: Value = serde_json::from_slice(&reply.data).unwrap();
    assert_eq!(
        (&body["fei"], &body["unknown"], body.get("error")),
        (&sent["fei"], &sent["unknown"], None),
        "{body}"
    );
    client.publish("sizer", workitem("w2", json!({"boom": true})));
    let error = client.replies().receive_json()["error"].clone();
    assert_eq!((&error["class"], &error["message"]), (&json!("ArgumentError"), &json!("ValueError: boom")));
    assert_eq!(exo.terminate().code, Some(0));
}

/// "Prefetch = `prefetch` (default: `concurrency`); one more would hold back a workitem that another instance could take."
#[test]
fn a_busy_process_holds_no_more_workitems_than_it_works_on_unless_told() {
    for (config, left) in [("", 2), ("concurrency = 2\n", 1), ("prefetch = 3\n", 0)] {
        let p = on_rabbitmq(config);
        let client = p.broker.client();
        let mut exo = p.start();
        for n in 0..3 {
            client.publish("sizer", workitem(&format!("w{n}"), json!({"sleep": 600})));
        }
        exo.wait_until_it_says("begun");
        p.sandbox.wait_until("it has taken its share", || client.depth("sizer") <= left);
        assert_eq!(client.depth("sizer"), left, "{config}");
        exo.kill();
    }
}

/// "History: … queue wait (from dispatched_at)."
#[test]
fn the_history_knows_how_long_a_workitem_waited() {
    let p = on_rabbitmq("");
    let client = p.broker.client();
    let sent = state::moment::now() - 3_000_000;
    let stamp = state::moment::stamp(sent);
    let (date, clock) = (&stamp[..8], &stamp[9..]);
    let at = format!(
        "{}-{}-{} {}:{}:{} UTC",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"dispatched_at": at})));
    client.replies().receive();
    exo.terminate();
    let history = History::open(&p.sandbox.path("participants/sizer")).unwrap().unwrap();
    let row = history.rows(&Filter::default(), Order::Newest, 1).unwrap().remove(0);
    assert_eq!(row.started - row.wait.unwrap(), sent, "{row:?}");
}
