//! What a real RabbitMQ does to those who work long, and what it does when it is short of room or stands still: said,
//! waited out, nothing run twice.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use state::journal::record::Record;
use state::journal::segment::scan;
use tests::amqp::REPLIES;
use tests::{Broker, Cluster, Participant, Running, Sandbox, workitem};
use unix::process::Signal;

const WORKER: &str = "
import os, time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun', wid.wfid)
        time.sleep(wid.fields.sleep or 0)
        while wid.fields.until and not os.path.exists(wid.fields.until): time.sleep(0.05)
        wid.fields.attempt, wid.fields.redelivered = wid.attempt, wid.redelivered
        print('ended', wid.wfid)
";

fn on_cluster(settings: &str, config: &str) -> (Participant, Cluster) {
    let sandbox = Sandbox::new();
    let cluster = Cluster::start(&sandbox, 1, settings);
    let broker = cluster.broker(0);
    (Participant::new(sandbox, broker, WORKER, config), cluster)
}

fn done(exo: &mut Running) -> String {
    let done = exo.terminate();
    assert_eq!(done.code, Some(0), "{}", done.out);
    done.out
}

/// "Channel closed by the broker (… consumer_timeout on long work, 406): recovered by a new channel, never silently
/// idle"; "deliveries known to be running are adopted, not run twice".
#[test]
fn work_that_takes_longer_than_the_consumer_timeout_is_done_once_and_answered() {
    work_takes_longer_than_the_consumer_timeout("");
}

/// On a quorum queue each of these timeouts is counted by the broker (x-delivery-count), and none of them is a crash.
#[test]
fn on_a_quorum_queue_no_consumer_timeout_is_an_attempt() {
    work_takes_longer_than_the_consumer_timeout("queue_type = \"quorum\"\n");
}

/// "Copied to the failed store …, never a loop": a broker closes the channel of a message beyond its max_message_size
/// (16 MiB since RabbitMQ 4), each time that it is sent. The engine gets an error, the handler an exception.
#[test]
fn what_is_too_large_for_the_broker_becomes_an_error_and_holds_up_nothing() {
    const LARGE: &str = "
class ParticipantHandler(object):
    def handle_wi(self, wid):
        if wid.fields.sends:
            other = wid.dup()
            other.fields.much = 'x' * 200000
            self.send_to_engine(other)
        wid.fields.much = 'x' * (wid.fields.size or 0)
";
    let sandbox = Sandbox::new();
    let cluster = Cluster::start(&sandbox, 1, "max_message_size = 100000");
    let broker = cluster.broker(0);
    let p = Participant::new(sandbox, broker, LARGE, "");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    for (wfid, fields) in
        [("w1", json!({"size": 200_000})), ("w2", json!({"sends": true})), ("w3", json!({"size": 10}))]
    {
        client.publish("sizer", workitem(wfid, fields));
    }
    let reply = replies.receive_json();
    let message = reply["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("more than the 100000 that the broker takes"), "{reply}");
    assert_eq!((&reply["fei"]["wfid"], &reply["fields"]), (&json!("w1"), &json!({"size": 200_000})));
    assert_eq!(reply["unknown"], json!([1, {"kept": true}]));
    let reply = replies.receive_json();
    let says = reply["error"]["message"].as_str().unwrap();
    assert!(says.starts_with("ConnectionError: ") && says.contains("larger than"), "{reply}");
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"]["wfid"], reply.get("error")), (&json!("w3"), None));
    let out = done(&mut exo);
    assert!(p.failed().iter().any(|reason| reason.starts_with(&message)), "{:?} {out}", p.failed());
}

fn work_takes_longer_than_the_consumer_timeout(config: &str) {
    let (p, _cluster) = on_cluster("consumer_timeout = 3000", config);
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    let enough = p.sandbox.path("enough");
    client.publish_persistent("sizer", workitem("w1", json!({"until": enough})));
    exo.wait_until_it_says("begun w1");
    exo.wait_until_it_says("PRECONDITION_FAILED - delivery acknowledgement on channel");
    p.sandbox.wait_until("it was taken away four times", || {
        exo.out().matches("consuming from sizer again").count() >= 4
    });
    p.sandbox.write(enough, "");
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"]["wfid"], reply.get("error")), (&json!("w1"), None), "{reply}");
    client.publish_persistent("sizer", workitem("w2", json!({})));
    // An acknowledgement that crosses the next timeout is lost: then the stored reply is sent once more.
    let mut surplus = 0;
    loop {
        let reply = replies.receive_json();
        assert_eq!(reply.get("error"), None, "{reply}");
        if reply["fei"]["wfid"] == "w2" {
            break;
        }
        surplus += 1;
    }
    let out = done(&mut exo);
    assert_eq!(out.matches("begun w1").count(), 1, "{out}");
    assert_eq!(out.matches("answered from the journal").count(), surplus, "{out}");
    assert_eq!((client.depth("sizer"), client.depth("ruote_workitems")), (0, 0), "{out}");
    assert_eq!(p.failed(), Vec::<String>::new(), "{out}");
}

/// "The connection is blocked by the broker's memory or disk alarm": said, the reply waits, and goes when there is
/// room again.
#[test]
fn replies_wait_while_the_broker_is_short_of_memory_or_disk_and_it_is_said() {
    let (p, cluster) = on_cluster("", "");
    let client = p.broker.client();
    client.declare("sizer");
    let mut exo = p.start();
    let mut replies = client.replies();
    for (n, (what, little, enough, says)) in [
        ("set_disk_free_limit", "1000000GB", "50MB", "disk"),
        ("set_vm_memory_high_watermark", "0.0000001", "0.6", "memory"),
    ]
    .into_iter()
    .enumerate()
    {
        let wfid = format!("w{n}");
        let until = p.sandbox.path(what);
        client.publish("sizer", workitem(&wfid, json!({"until": until})));
        exo.wait_until_it_says(&format!("begun {wfid}"));
        cluster.ctl(&p.sandbox, 0, &[what, little]);
        // It is blocked by what it publishes.
        p.sandbox.write(until, "");
        exo.wait_until_it_says(&format!("ended {wfid}"));
        exo.wait_until_it_says(&format!("the broker takes no messages: low on {says}"));
        cluster.ctl(&p.sandbox, 0, &[what, enough]);
        let back = || exo.out().matches("the broker takes messages again").count() == n + 1;
        p.sandbox.wait_until("it is said that it takes messages again", back);
        let reply = replies.receive_json();
        assert_eq!((&reply["fei"]["wfid"], reply.get("error")), (&json!(wfid), None), "{reply}");
    }
    let out = done(&mut exo);
    assert_eq!((out.matches("begun").count(), out.matches("trying again").count()), (2, 0), "{out}");
}

/// "A reply that comes back (mandatory) or is nacked is retried with backoff, unacknowledged": its queue is gone, or takes
/// no more.
#[test]
fn a_reply_that_comes_back_or_is_refused_is_sent_again_until_it_is_taken() {
    let (p, cluster) = on_cluster("", "");
    let client = p.broker.client();
    client.declare("sizer");
    let mut exo = p.start();
    p.broker.client().delete(REPLIES);
    client.publish("sizer", workitem("w1", json!({})));
    exo.wait_until_it_says(
        "sizer w1: the reply was not taken: there was no queue ruote_workitems; trying again",
    );
    p.sandbox.wait_until("it is there, in a new queue", || client.depth(REPLIES) == 1);
    let full = "{\"max-length\": 1, \"overflow\": \"reject-publish\"}";
    cluster.ctl(&p.sandbox, 0, &["set_policy", "--apply-to", "queues", "full", REPLIES, full]);
    client.publish("sizer", workitem("w2", json!({})));
    exo.wait_until_it_says("sizer w2: the reply was not taken: the broker refused it; trying again");
    // It is still in hand: another would get it now.
    assert!(!exo.out().contains("w2: done"), "{}", exo.out());
    for wfid in ["w1", "w2"] {
        let body = p.sandbox.wait_for("a reply", || client.take(REPLIES));
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["fei"]["wfid"], wfid);
    }
    exo.wait_until_it_says("w2: done");
    let out = done(&mut exo);
    assert_eq!((out.matches("begun").count(), client.depth("sizer")), (2, 0), "{out}");
}

/// The same of our own broker, which has no room when too much of what it holds must stay in memory.
#[test]
fn replies_wait_while_skynet_broker_is_short_of_memory_and_it_is_said() {
    let p = Participant::on_skynet(WORKER, "");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let full = p.sandbox.path("full");
    client.publish("sizer", workitem("w0", json!({})));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w0", "from now on it publishes");
    client.publish("sizer", workitem("w1", json!({"until": full})));
    exo.wait_until_it_says("begun w1");
    // More than 256 MiB with the last of them.
    let filler = p.broker.client();
    filler.declare_passing("filler");
    let large = vec![0; 17 << 19];
    (0..31).for_each(|_| filler.publish("filler", &large));
    exo.wait_until_it_says("the broker takes no messages: low on memory; replies wait");
    p.sandbox.write("full", "");
    exo.wait_until_it_says("ended w1");
    assert_eq!(exo.out().matches("w1: done").count(), 0, "{}", exo.out());
    p.broker.client().purge("filler");
    exo.wait_until_it_says("the broker takes messages again");
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"]["wfid"], reply.get("error")), (&json!("w1"), None), "{reply}");
    exo.wait_until_it_says("w1: done");
    let out = done(&mut exo);
    assert_eq!((out.matches("begun w1").count(), out.matches("trying again").count()), (1, 0), "{out}");
}

/// "Heartbeats stop (a frozen broker, SIGSTOP)": "says so in its log within one heartbeat".
#[test]
fn a_rabbitmq_that_stands_still_is_noticed_and_waited_out() {
    let (p, cluster) = on_cluster("", "");
    p.sandbox.write("boss.conf", format!("[amqp]\nurl = \"{}?heartbeat=2\"\n", p.broker.url()));
    let mut exo = p.start();
    let client = p.broker.client();
    client.publish_persistent("sizer", workitem("w1", json!({"sleep": 6})));
    exo.wait_until_it_says("begun w1");
    cluster.process(0).signal(Signal::SIGSTOP);
    exo.wait_until_it_says("; trying again until it works");
    // It is asked before its heartbeats are missed, unless exo itself was held up.
    let reasons = ["the broker has not answered for 1 s;", "the broker's heartbeats stopped;"];
    assert!(reasons.iter().any(|reason| exo.out().contains(reason)), "{}", exo.out());
    exo.wait_until_it_says("ended w1");
    cluster.process(0).signal(Signal::SIGCONT);
    p.sandbox.wait_until("it consumes again", || exo.out().matches("consuming from sizer at").count() >= 2);
    assert_eq!(p.broker.client().replies().receive_json()["fei"]["wfid"], "w1");
    p.sandbox.wait_until("it is acknowledged", || exo.out().contains("w1: done"));
    assert_eq!(done(&mut exo).matches("begun w1").count(), 1);
}

/// "Readiness (the notification descriptor) is written once, when first consuming": not before, and not again after
/// the broker was away, the queue deleted, or the journal full.
#[test]
fn readiness_is_told_once_when_it_first_consumes_and_not_again_after_reconnects() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    broker.process().terminate();
    let mut p = Participant::new(sandbox, broker, WORKER, "");
    let mut exo = p.sandbox.start("sh", &["-c", "exec 8>notify; cd sizer; SKYNET_NOTIFY_FD=8 exec exo 2>&1"]);
    exo.wait_until_it_says("trying again until it works");
    assert_eq!(p.sandbox.read("notify"), "", "it does not consume yet");
    for round in 1..=3 {
        p.broker.start_again(&p.sandbox);
        let consuming = || exo.out().matches("consuming from sizer at").count() == round;
        p.sandbox.wait_until("it consumes", consuming);
        let client = p.broker.client();
        client.delete("sizer");
        let again = || exo.out().matches("consuming from sizer again").count() == round;
        p.sandbox.wait_until("it consumes again", again);
        client.publish("sizer", workitem(&format!("w{round}"), json!({})));
        exo.wait_until_it_says(&format!("w{round}: done"));
        assert_eq!(p.sandbox.read("notify"), "\n", "{}", exo.out());
        p.broker.process().kill();
        p.sandbox
            .wait_until("it is said", || exo.out().matches("trying again until it works").count() > round);
    }
    done(&mut exo);
    assert_eq!(p.sandbox.read("notify"), "\n");
}

/// "On quorum queues attempts = max(journal, x-delivery-count)": what other hosts' journals know is not known here, the
/// broker's count is.
#[test]
fn on_a_quorum_queue_the_broker_counts_the_attempts_of_other_hosts() {
    let p = Participant::new(
        Sandbox::new(),
        Broker::rabbitmq(),
        WORKER,
        "queue_type = \"quorum\"\nmax_attempts = 3\n",
    );
    let client = p.broker.client();
    client.declare_quorum("sizer");
    let mut replies = client.replies();
    // As if two hosts had it and ended; then three.
    for (wfid, ended) in [("w0", 0), ("w1", 1), ("w2", 2), ("w3", 3)] {
        client.publish_persistent("sizer", workitem(wfid, json!({})));
        for _ in 0..ended {
            client.give_back_one("sizer");
        }
        let mut exo = p.start();
        let reply: Value = replies.receive_json();
        match ended {
            3 => assert_eq!(
                reply["error"]["message"],
                "the participant ended 3 times while it worked on this workitem (as the broker counts; the journal here \
                 knows of no end): given up"
            ),
            _ => assert_eq!(
                (&reply["fields"]["attempt"], reply.get("error")),
                (&json!(ended + 1), None),
                "{reply}"
            ),
        }
        done(&mut exo);
    }
}

/// "An end by TERM, grace or reboot never counts", though a quorum queue counts it; a kill counts once, though broker and
/// journal both know of it.
#[test]
fn on_a_quorum_queue_the_ends_by_term_are_no_attempts() {
    let config = "queue_type = \"quorum\"\nmax_attempts = 3\ngrace = \"1s\"\n";
    let p = Participant::new(Sandbox::new(), Broker::rabbitmq(), WORKER, config);
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    let until = p.sandbox.path("until");
    client.publish_persistent("sizer", workitem("w1", json!({"until": until})));
    for _ in 0..4 {
        exo.wait_until_it_says("begun w1");
        exo.signal(Signal::SIGTERM);
        assert_eq!(exo.finish().code, Some(0), "{}", exo.told());
        exo = p.start();
    }
    exo.wait_until_it_says("begun w1");
    exo.kill();
    exo = p.start();
    p.sandbox.write(until, "");
    let reply = replies.receive_json();
    assert_eq!((&reply["fields"]["attempt"], reply.get("error")), (&json!(2), None), "{reply}");
    done(&mut exo);
}

/// The same of what only waited: a process that ends, or is ended by another workitem, had not begun with it.
#[test]
fn on_a_quorum_queue_what_waited_behind_others_is_no_attempt() {
    let config = "queue_type = \"quorum\"\nmax_attempts = 2\nprefetch = 3\n";
    let p = Participant::new(Sandbox::new(), Broker::rabbitmq(), WORKER, config);
    let client = p.broker.client();
    let mut replies = client.replies();
    client.declare_quorum("sizer");
    client.publish_persistent("sizer", workitem("culprit", json!({"sleep": 60})));
    client.publish_persistent("sizer", workitem("waits", json!({})));
    for ends in 1..=2 {
        let mut exo = p.start();
        exo.wait_until_it_says("begun culprit");
        p.sandbox.wait_until("the other is noted", || passed(&p) == ends);
        exo.kill();
    }
    let mut exo = p.start();
    let (mut culprit, mut other) = (replies.receive_json(), replies.receive_json());
    if culprit["fei"]["wfid"] != "culprit" {
        std::mem::swap(&mut culprit, &mut other);
    }
    assert!(culprit["error"]["message"].as_str().unwrap().contains("ended 2 times"), "{culprit}");
    assert_eq!((&other["fields"]["attempt"], other.get("error")), (&json!(1), None), "{other}");
    done(&mut exo);
}

/// A process that makes room for another takes nothing that it would only give back: none of its workitems was delivered
/// before, though each return is counted, by a broker that does not say why it came back.
#[test]
fn on_a_quorum_queue_an_end_because_of_max_workitems_returns_nothing() {
    let config = "queue_type = \"quorum\"\nmax_workitems = 2\nmax_attempts = 2\n";
    let p = Participant::new(Sandbox::new(), Broker::rabbitmq(), WORKER, config);
    let client = p.broker.client();
    client.declare_quorum("sizer");
    let mut replies = client.replies();
    for n in 0..20 {
        client.publish_persistent("sizer", workitem(&format!("w{n}"), json!({})));
    }
    for _ in 0..5 {
        let instances = [p.launch("config.exo"), p.launch("config.exo")];
        for mut exo in instances {
            let done = exo.finish();
            assert_eq!((done.code, done.out.matches("done in").count()), (Some(0), 2), "{}", done.out);
        }
    }
    for _ in 0..20 {
        let reply = replies.receive_json();
        let fields = &reply["fields"];
        assert_eq!((&fields["attempt"], &fields["redelivered"]), (&json!(1), &json!(false)), "{reply}");
    }
    assert_eq!(client.depth("sizer"), 0);
}

/// How many deliveries the journal notes that were not begun.
fn passed(p: &Participant) -> usize {
    let mut found = 0;
    for file in
        std::fs::read_dir(p.sandbox.path("participants/sizer/journal")).into_iter().flatten().flatten()
    {
        // It goes when nothing in it is in hand any more.
        let Ok(file) = std::fs::File::open(file.path()) else { continue };
        let _ = scan(&file, 0, |_, record| found += usize::from(matches!(record, Record::Passed { .. })));
    }
    found
}

/// "RabbitMQ's consumer_timeout (30 min) gives longer work to another host while it runs: exo warns at start when
/// `hard_timeout` is 0 or above it": after the line that it consumes, once, and not of a broker without such a thing.
#[test]
fn that_long_work_may_be_given_to_another_is_said_where_the_broker_does_that() {
    for (config, hard) in [
        ("", Some("not set")),
        ("hard_timeout = \"31m\"\n", Some("1860 s")),
        ("hard_timeout = \"30m\"\n", None),
    ] {
        for rabbitmq in [true, false] {
            let sandbox = Sandbox::new();
            let broker = if rabbitmq { Broker::rabbitmq() } else { Broker::skynet(&sandbox) };
            let p = Participant::new(sandbox, broker, WORKER, config);
            let mut exo = p.start();
            p.broker.client().delete("sizer");
            exo.wait_until_it_says("consuming from sizer again");
            let out = done(&mut exo);
            let said = hard.filter(|_| rabbitmq);
            assert_eq!(
                out.matches("consumer_timeout").count(),
                usize::from(said.is_some()),
                "{config}: {out}"
            );
            let warning = said.map(|hard| format!("hard_timeout is {hard}: RabbitMQ's consumer_timeout"));
            assert!(warning.is_none_or(|warning| out.contains(&warning)), "{config}: {out}");
            assert!(out.starts_with(" INFO sizer: consuming from sizer at "), "{out}");
        }
    }
}

/// "Consuming" is said only while it is true: not of a process that ends, when the broker comes back.
#[test]
fn a_process_that_ends_does_not_say_that_it_consumes_when_the_broker_is_back() {
    let mut p = Participant::on_skynet(WORKER, "");
    let mut exo = p.start();
    let until = p.sandbox.path("until");
    p.broker.client().publish_persistent("sizer", workitem("w1", json!({"until": until})));
    exo.wait_until_it_says("begun w1");
    exo.signal(Signal::SIGTERM);
    exo.wait_until_it_says("taking no more work, 1 in hand");
    p.broker.process().kill();
    let Participant { sandbox, broker } = &mut p;
    broker.start_again(sandbox);
    exo.wait_until_it_says("and takes nothing from the queue: told to stop, finishing what runs");
    sandbox.write(until, "");
    assert_eq!(exo.out().matches("consuming from").count(), 1, "{}", exo.out());
    let done = exo.finish();
    assert_eq!((done.code, done.out.matches("w1: done").count()), (Some(0), 1), "{}", done.out);
}
