//! Several workitems at once, and what each of them costs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tests::amqp::Messages;
use tests::{Participant, workitem};
use unix::privileges::is_root;

const HANDLER: &str = "
import os, threading, time
class ParticipantHandler(object):
    def __init__(self):
        self.lock, self.now, self.most = threading.Lock(), 0, 0
    def handle_wi(self, wid):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if wid.fields.until: print('begun')
        while wid.fields.until and not os.path.exists(wid.fields.until):
            time.sleep(0.02)
        with self.lock:
            wid.fields.now, wid.fields.most = self.now, self.most
            self.now -= 1
";

/// The fields of so many replies, by wfid.
fn fields(replies: &mut Messages<'_>, count: usize) -> BTreeMap<String, Value> {
    let replies = replies.receive_all(count);
    let parsed = replies.iter().map(|reply| serde_json::from_slice::<Value>(reply).unwrap());
    parsed
        .map(|mut reply| (reply["fei"]["wfid"].as_str().unwrap().to_owned(), reply["fields"].take()))
        .collect()
}

/// "Workitems at a time": no fewer, and no more; those that are quick go through while others sleep.
#[test]
fn eight_sleep_at_once_and_quick_ones_go_through_while_seven_do() {
    let p = Participant::on_skynet(HANDLER, "concurrency = 8\nprefetch = 50\n");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let ends = |name: &str| p.sandbox.path(name).to_str().unwrap().to_owned();
    let (one, rest) = (ends("one"), ends("rest"));
    for n in 0..7 {
        client.publish("sizer", workitem(&format!("rest{n}"), json!({"until": rest})));
    }
    client.publish("sizer", workitem("one", json!({"until": one})));
    p.sandbox.wait_until("all eight are at work", || exo.out().matches("begun").count() == 8);
    for n in 0..100 {
        client.publish("sizer", workitem(&format!("quick{n}"), json!({})));
    }
    p.sandbox.write("one", "");
    assert_eq!(fields(&mut replies, 1).pop_first().unwrap().0, "one");
    let quick = fields(&mut replies, 100);
    assert!(quick.values().all(|fields| fields["now"] == 8), "{quick:?}");
    assert!(quick.keys().all(|wfid| wfid.starts_with("quick")), "{quick:?}");
    p.sandbox.write("rest", "");
    let slept = fields(&mut replies, 7);
    assert!(slept.values().all(|fields| fields["most"] == 8), "{slept:?}");
    assert_eq!(slept.len() + quick.len() + 1, 108);
    assert_eq!(exo.terminate().code, Some(0));
}

/// Each workitem is answered once, whoever takes it, while sleepers and quick ones take turns.
#[test]
fn each_of_many_is_answered_once() {
    let p = Participant::on_skynet(
        "
import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        time.sleep(wid.fields.sleep)
",
        "concurrency = 8\n",
    );
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let sleep = |n: u32| [0.0, 0.0, 0.0005, 0.0, 0.003][n as usize % 5];
    client.publish_all("sizer", (0..500).map(|n| workitem(&format!("w{n}"), json!({"sleep": sleep(n)}))));
    let answered: BTreeSet<_> = fields(&mut replies, 500).into_keys().collect();
    assert_eq!(answered.len(), 500);
    p.sandbox.wait_until("all are acknowledged", || client.depth("sizer") == 0);
    assert_eq!(exo.terminate().code, Some(0));
    assert_eq!(client.depth("sizer") + client.depth(tests::amqp::REPLIES), 0);
}

/// How many system calls exo makes for a workitem, by name, as strace sees them when all is running: the fewest of many
/// times, for each name, as a machine that is slow makes it wait, wake and give workitems control queues.
fn calls() -> BTreeMap<String, f64> {
    const COUNT: usize = 20;
    let handler = "class ParticipantHandler(object):\n    def handle_wi(self, wid): wid.result = True\n";
    let p = Participant::on_skynet(handler, "");
    let strace = "cd sizer && exec strace -f -qq -y -s 0 -o ../trace exo 2>&1";
    let mut exo = p.sandbox.start("sh", &["-c", strace]);
    exo.wait_until_it_says("consuming from sizer");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut work = || {
        client.publish_all("sizer", (0..COUNT).map(|n| workitem(&format!("w{n}"), json!({}))));
        replies.receive_all(COUNT);
        p.sandbox.read("trace").lines().count()
    };
    let marks: Vec<_> = (0..25).map(|_| work()).collect();
    let trace = p.sandbox.read("trace");
    let lines: Vec<_> = trace.lines().collect();
    let times = marks.windows(2).map(|mark| by_name(&lines[mark[0]..mark[1]], COUNT));
    let fewest = |mut a: BTreeMap<String, f64>, b: BTreeMap<String, f64>| {
        a.retain(|name, _| b.contains_key(name));
        a.iter_mut().for_each(|(name, number)| *number = number.min(b[name]));
        a
    };
    times.reduce(fewest).unwrap()
}

/// The calls of a trace, for each of so many workitems. The history is written in its own time.
fn by_name(lines: &[&str], count: usize) -> BTreeMap<String, f64> {
    let mut calls = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.contains("/history.db")) {
        // PID NAME(…; the second half of a call that was interrupted by another's has no name there.
        let call = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
        if let Some((name, _)) = call.filter(|(name, _)| !name.starts_with('<')) {
            *calls.entry(name.to_owned()).or_default() += 1.0 / count as f64;
        }
    }
    calls
}

/// What a workitem costs, in system calls, so that one that is added is seen. Several that come at once share some of
/// them: each bound is for one that comes alone.
#[test]
fn a_workitem_costs_no_more_system_calls_than_it_must() {
    if !is_root() {
        return; // exo's process is closed to others
    }
    let most = [
        ("pwrite64", 3.5), // the journal: taken, reply, acked
        ("rt_sigaction", 4.5),
        ("getpid", 1.5),
        ("recvfrom", 2.5), // the delivery, the confirm
        ("sendto", 2.5),   // the reply, the acknowledgement
        ("epoll_wait", 4.5),
        ("write", 2.5), // the session's wake, the log
        ("futex", 3.5),
    ];
    let mut calls = calls();
    let told = format!("{calls:.2?}");
    for (name, most) in most {
        assert!(calls.remove(name).is_none_or(|number| number <= most), "{name}: {told}");
    }
    assert!(calls.values().sum::<f64>() <= 1.0, "{told}");
}

/// Beyond the grace a handler is left where it is, on whichever thread: that is no crash of the process, and exit work
/// is done.
#[test]
fn handlers_at_work_when_the_process_ends_do_not_make_it_crash() {
    let p = Participant::on_skynet(
        "
import atexit, threading, time
atexit.register(lambda: print('exit work'))
restless = threading.Semaphore(0)
class ParticipantHandler(object):
    def handle_wi(self, wid):
        if threading.current_thread() is threading.main_thread():
            for _ in range(7): restless.acquire()
        else:
            restless.release()
            while True: time.sleep(0.0005)
",
        "concurrency = 8\ngrace = \"1s\"\n",
    );
    let client = p.broker.client();
    let mut exo = p.start();
    for n in 0..8 {
        client.publish("sizer", workitem(&format!("w{n}"), json!({})));
    }
    assert!(client.replies().receive_json()["error"].is_null());
    let done = exo.terminate();
    assert_eq!((done.code, done.out.matches("exit work").count()), (Some(0), 1), "{}", done.out);
    assert_eq!(client.depth("sizer"), 7);
}
