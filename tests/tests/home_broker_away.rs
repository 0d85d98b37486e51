//! The broker is away, or takes connections and says nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::terminal::interrupt;
use home::{Home, assert_one_line, wait_until};
use std::net::TcpListener;

/// "The broker away: whatever needs no broker still works."
#[test]
fn what_needs_no_broker_works_while_it_is_away() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    home.good(&["send", "sizer", "--wait", "--wfid", "w1"]);
    wait_until("it is in the history", || home.good(&["history"]).contains("w1"));
    home.good(&["stop", "skynet-broker"]);
    for words in [
        &["status", "sizer"][..],
        &["log", "sizer"],
        &["history", "sizer"],
        &["history", "--stats"],
        &["trace", "w1"],
        &["failed"],
        &["config", "sizer"],
        &["config", "--check"],
        &["new", "other"],
        &["enable", "./other"],
        &["restart", "sizer"],
        &["stop", "other"],
        &["remove", "other"],
        &["notify", "test", "--help"],
    ] {
        home.good(words);
    }
    for words in [
        &["queues"][..],
        &["send", "sizer"],
        &["wi", "status", "w1"],
        &["wi", "cancel", "w1"],
        &["wi", "watch", "w1"],
        &["register", "sizer"],
        &["launch", "--definition", "Ruote.define do x end"],
    ] {
        let done = home.skynet(words);
        assert_one_line(&done, 111, "cannot connect to amqp://127.0.0.1");
        assert!(done.err.contains("(is it up? skynet local status)"), "{words:?}: {done:?}");
    }
    let doctor = home.skynet(&["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("wrong    broker: cannot connect"), "{doctor:?}");
    assert_eq!(home.skynet(&["local", "status"]).code, Some(3));
    home.good(&["start", "skynet-broker"]);
    wait_until("the participant is back", || {
        home.skynet(&["send", "sizer", "--wait", "--timeout", "2s"]).code == Some(0)
    });
}

/// A broker that takes connections and says nothing: what is waited for is shown, and ^C ends it at once.
#[test]
fn a_broker_that_says_nothing_is_waited_for_visibly_and_not_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    // Connections stay open, and unanswered, in the queue of those that are not accepted.
    let home = Home::new();
    let url = format!("amqp://somebody:secret@127.0.0.1:{port}/boss");
    home.good(&["local", "up", "--broker", &url]);
    home.service("one", "exec sleep 1000");
    for words in [
        &["queues"][..],
        &["doctor"],
        &["send", "sizer"],
        &["send", "sizer", "--wait"],
        &["launch", "--definition", "Ruote.define do x end"],
        &["register", "./one"],
        &["unregister", "./one"],
        &["wi", "status", "w1"],
        &["wi", "cancel", "w1"],
        &["wi", "watch", "w1"],
    ] {
        interrupt(&home, words, "waiting for the broker … ");
    }
    let done = home.skynet(&["queues"]);
    assert_one_line(&done, 111, &format!("cannot connect to amqp://127.0.0.1:{port}/boss: no answer within"));
    drop(silent);
}
