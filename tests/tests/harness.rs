//! The harness itself: a test that leaves something behind must not go unnoticed.

use tests::process::lives;
use tests::{Programs, Sandbox};

#[test]
fn a_sandbox_ends_what_was_started_in_it_also_daemons_that_left_their_session() {
    let sandbox = Sandbox::with(Programs::theirs());
    let mut shell =
        sandbox.start("sh", &["-c", "setsid sleep 1000 & env -i setsid sleep 1001 & echo started"]);
    shell.wait_until_it_says("started");
    shell.finish();
    sandbox.wait_until("both sleep", || {
        let mut words: Vec<_> = sandbox.leftovers().into_iter().map(|process| process.words).collect();
        words.sort();
        words == ["sleep 1000", "sleep 1001"]
    });
    let pids: Vec<i32> = sandbox.leftovers().iter().map(|process| process.pid).collect();
    let dir = sandbox.dir().to_owned();
    drop(sandbox);
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
    assert!(!dir.exists());
}

#[test]
fn programs_see_a_cleared_environment_and_the_programs_under_test_first_in_path() {
    let sandbox = Sandbox::with(Programs::theirs());
    sandbox.set("COLOUR", "blue");
    let told = sandbox.run("/usr/bin/env", &[]).good();
    let mut names: Vec<_> = told.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort();
    assert_eq!(names, ["COLOUR", "HOME", "LANG", "PATH", "SKYNET_TEST_SANDBOX"]);
    let which = sandbox.run("sh", &["-c", "command -v supervise"]).good();
    assert_eq!(which.trim_end(), Programs::theirs().path("supervise").to_str().unwrap());
}

mod brokers {
    use tests::Sandbox;
    use tests::amqp::Queue;
    use tests::broker::Broker;

    fn carries_messages_both_ways(broker: Broker) {
        let (boss, participant) = (broker.client(), broker.client());
        participant.declare("sizer");
        boss.publish("sizer", "a workitem");
        assert_eq!(participant.queue("sizer"), Some(Queue { ready: 1, consumers: 0 }));
        assert_eq!(participant.take("sizer").as_deref(), Some(&b"a workitem"[..]));
        assert_eq!(participant.take("sizer"), None);
        let mut replies = boss.replies();
        participant.publish("ruote_workitems", r#"{"a": 1}"#);
        assert_eq!(replies.receive_json()["a"], 1);
        boss.delete("sizer");
        assert_eq!(boss.queue("sizer"), None);
    }

    #[test]
    fn a_virtual_host_of_rabbitmq_carries_messages_both_ways() {
        carries_messages_both_ways(Broker::rabbitmq());
    }

    #[test]
    fn each_test_has_a_virtual_host_of_its_own() {
        let (a, b) = (Broker::rabbitmq(), Broker::rabbitmq());
        a.client().declare("ruote_workitems");
        assert_eq!(a.queues(), ["ruote_workitems"]);
        assert_eq!(b.queues(), [""; 0]);
    }

    #[test]
    fn our_own_broker_carries_messages_both_ways() {
        let sandbox = Sandbox::new();
        carries_messages_both_ways(Broker::skynet(&sandbox));
    }
}
