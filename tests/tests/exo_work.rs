//! exo between a broker and a handler: on Debian's RabbitMQ and on our own broker.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::json;
use tests::process::signal;
use tests::{Broker, Participant, Sandbox, workitem};
use unix::process::Signal;

const SIZER: &str = "
import os, time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun')
        if wid.fields.forgets:
            wid.fields.forget = wid.fields.forgets
        if wid.fields.raises:
            raise ValueError('boom')
        if wid.fields.sleep and not wid.redelivered:
            time.sleep(wid.fields.sleep)
        while wid.fields.until and not os.path.exists(wid.fields.until):
            time.sleep(0.02)
        wid.fields.size = len(wid.fields.text or '')
        wid.fields.redelivered = wid.redelivered
        wid.fields.pid = os.getpid()
";

/// "The whole workitem, same fei"; keys that we do not know survive.
fn a_reply_is_the_workitem_with_the_handlers_changes(p: Participant) {
    let client = p.broker.client();
    let _exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"text": "hello"})));
    let reply = replies.receive_json();
    assert_eq!((&reply["fields"]["size"], &reply["fei"]["wfid"]), (&json!(5), &json!("w1")));
    assert_eq!(reply["unknown"], json!([1, {"kept": true}]));
    assert!(reply.get("error").is_none());
    p.sandbox.wait_until("it is acknowledged", || client.depth("sizer") == 0);
}

/// "The workitem plus `error` … class RuntimeError … `Class: text`"; kept in the failed store with the traceback.
fn an_exception_is_an_error_reply_and_an_entry_in_the_failed_store(p: Participant) {
    let client = p.broker.client();
    let _exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"raises": true})));
    let reply = replies.receive_json();
    assert_eq!(reply["error"]["class"], "RuntimeError");
    assert_eq!(reply["error"]["message"], "ValueError: boom");
    assert!(reply["error"]["trace"][0].as_str().unwrap().ends_with("in `handle_wi'"));
    p.sandbox.wait_until("it is kept", || p.failed().len() == 1);
    assert!(p.failed()[0].starts_with("ValueError: boom\nTraceback"), "{:?}", p.failed());
}

/// "Where `params.forget` or `fields.forget` is true, no reply"; a cancelitem: "acknowledge, never reply".
/// What comes after them is answered first. "Read after `handle_wi`, by Python's truth": also where that raises.
fn forgotten_workitems_and_cancelitems_are_acknowledged_without_a_reply(p: Participant) {
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"forget": true})));
    client.publish("sizer", workitem("w3", json!({"forgets": true, "raises": true})));
    client.publish("sizer", workitem("w4", json!({"forgets": "yes", "raises": true})));
    client.publish(
        "sizer",
        json!({"cancel": true, "fei": "#<Ruote::HashWrapper:0x1>", "flavour": null}).to_string(),
    );
    client.publish("sizer", workitem("w2", json!({"text": "x"})));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w2");
    exo.signal(Signal::SIGTERM);

    assert_eq!(exo.finish().told().0, 0);
    assert_eq!(client.depth("sizer"), 0, "all are acknowledged");
}

/// "A body that is not JSON, or has no usable fei …: copied to the failed store with the reason, acknowledged".
fn unusable_messages_are_parked_and_do_not_hold_up_the_rest(p: Participant) {
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    for body in [b"{".as_slice(), b"\xff\xfe", b"{\"fields\": {}}"] {
        client.publish("sizer", body);
    }
    client.publish("sizer", json!({"fei": {"wfid": "w1", "expid": "0"}, "fields": 7}).to_string());
    client.publish("sizer", workitem("w2", json!({})));
    let first = replies.receive_json();
    assert_eq!(first["error"]["message"], "unusable workitem: fields is not an object");
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w2");
    let mut reasons = p.failed();
    reasons.sort();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons[0].starts_with("no usable fei"), "{reasons:?}");
    assert!(reasons[1].starts_with("not JSON"), "{reasons:?}");
    assert!(reasons[2].starts_with("not UTF-8"), "{reasons:?}");
    assert!(reasons[3].starts_with("unusable workitem"), "{reasons:?}");
    exo.signal(Signal::SIGTERM);
    exo.finish();
    assert_eq!(client.depth("sizer"), 0);
}

/// "TERM = Shutdown: stop consuming first …, let running handlers finish, … exit 0."
fn term_lets_the_handler_finish_and_leaves_the_rest_on_the_queue(p: Participant) {
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let until = p.sandbox.path("until");
    client.publish("sizer", workitem("w1", json!({"until": until})));
    client.publish("sizer", workitem("w2", json!({})));
    exo.wait_until_it_says("begun");
    exo.signal(Signal::SIGTERM);
    exo.wait_until_it_says("taking no more work, 1 in hand");
    p.sandbox.write(until, "");
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w1");
    assert_eq!(exo.finish().told().0, 0);
    p.sandbox.wait_until("the rest is on the queue", || client.depth("sizer") == 1);
}

/// "After `kill -9` at any instant the workitem is redelivered."
fn a_workitem_whose_exo_is_killed_is_answered_by_the_next(p: Participant) {
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"sleep": 600})));
    exo.wait_until_it_says("begun");
    signal(exo.pid(), Signal::SIGKILL);
    let next = p.start();
    let reply = replies.receive_json();
    assert_eq!(reply["fields"]["redelivered"], true);
    assert_eq!(reply["fields"]["pid"], next.pid());
}

macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            use super::*;
            $(#[test] fn $name() {
                super::$name(Participant::new(Sandbox::new(), Broker::rabbitmq(), SIZER, ""));
            })*
        }
        mod skynet {
            use super::*;
            $(#[test] fn $name() {
                let sandbox = Sandbox::new();
                let broker = Broker::skynet(&sandbox);
                super::$name(Participant::new(sandbox, broker, SIZER, ""));
            })*
        }
    };
}

on_both_brokers!(
    a_reply_is_the_workitem_with_the_handlers_changes,
    an_exception_is_an_error_reply_and_an_entry_in_the_failed_store,
    forgotten_workitems_and_cancelitems_are_acknowledged_without_a_reply,
    unusable_messages_are_parked_and_do_not_hold_up_the_rest,
    term_lets_the_handler_finish_and_leaves_the_rest_on_the_queue,
    a_workitem_whose_exo_is_killed_is_answered_by_the_next,
);

/// "A broker that goes away is waited out", "handlers keep running and their replies are published after the
/// reconnect; deliveries known to be running are adopted, not run twice".
#[test]
fn a_broker_that_is_killed_is_waited_out_and_the_work_in_hand_is_answered_once() {
    let sandbox = Sandbox::new();
    let broker = Broker::skynet(&sandbox);
    let mut p = Participant::new(sandbox, broker, SIZER, "");
    let mut exo = p.start();
    {
        let client = p.broker.client();
        client.declare("ruote_workitems");
        client.publish("sizer", workitem("w1", json!({"sleep": 1})));
        exo.wait_until_it_says("begun");
        p.broker.process().signal(Signal::SIGKILL);
    }
    p.broker.process().finish();
    p.broker.start_again(&p.sandbox);
    let client = p.broker.client();
    assert_eq!(client.replies().receive_json()["fei"]["wfid"], "w1");
    p.sandbox.wait_until("it is acknowledged", || exo.out().contains("w1: done"));
    assert_eq!(exo.out().matches("begun").count(), 1, "{}", exo.out());
}

/// "Exec participants: exit 0 = done …, anything else = error; the last lines of stderr become the message."
#[test]
fn any_program_can_be_the_handler() {
    let sandbox = Sandbox::new();
    let broker = Broker::skynet(&sandbox);
    let config = "exec = [\"/bin/sh\", \"-c\", \"cat >&2; case $SKYNET_WFID in bad) echo no >&2; exit 3;; esac; echo '{\\\"fields\\\": {\\\"who\\\": \\\"'$SKYNET_PARTICIPANT'\\\"}}'\"]\n";
    let p = Participant::new(sandbox, broker, "", config);
    let client = p.broker.client();
    let _exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("good", json!({"text": "x"})));
    let reply = replies.receive_json();
    assert_eq!((&reply["fields"]["who"], &reply["fields"]["text"]), (&json!("sizer"), &json!("x")));
    client.publish("sizer", workitem("bad", json!({})));
    let message = replies.receive_json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("exit code 3: ") && message.ends_with("no"), "{message}");
}

/// "Drops privileges: supplementary groups, gid, uid, then proves that they cannot be regained; … umask 022."
#[test]
fn a_handler_started_by_root_runs_as_nobody_and_cannot_regain_anything() {
    if !unix::privileges::is_root() {
        return; // only root has privileges to drop
    }
    let sandbox = Sandbox::new();
    let broker = Broker::skynet(&sandbox);
    let handler = "
import os
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.fields.ids = [list(os.getresuid()), list(os.getresgid()), os.getgroups()]
        try:
            os.setuid(0)
            wid.fields.regained = True
        except PermissionError:
            wid.fields.regained = False
        wid.fields.umask = os.umask(0)
        wid.fields.password_seen = any('amqp://' in open(f, errors='replace').read()
            for f in ('/proc/self/environ', '/proc/self/cmdline'))
";
    let p = Participant::new(sandbox, broker, handler, "user = \"nobody\"\n");
    let client = p.broker.client();
    let _exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({})));
    let fields = replies.receive_json()["fields"].clone();
    let nobody = unix::privileges::account("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    assert_eq!(fields["ids"], json!([[uid, uid, uid], [gid, gid, gid], [gid]]));
    assert_eq!((&fields["regained"], &fields["umask"]), (&json!(false), &json!(0o022)));
    assert_ne!(fields["password_seen"], json!(true));
}
