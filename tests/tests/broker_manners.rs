//! How skynet-broker behaves towards its machine and its peers, where that is no matter of the protocol.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod broker;

use amq_protocol::protocol::{AMQPClass, channel, connection, tx};
use broker::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tests::Sandbox;
use tests::broker::{Broker, free_port};
use tests::stage::{Heard, Stage};
use unix::process::Signal;

/// A broker's folder with this address in it; its path.
fn folder(sandbox: &Sandbox, listen: &str) -> String {
    let folder = sandbox.folder("other");
    let settings =
        format!("listen = \"{listen}\"\nuser = \"u\"\npassword = \"secret\"\nvhosts = [\"boss\"]\n");
    let file = sandbox.write("other/broker.toml", settings);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// "It says in its help and log that it is for one machine and one user."
#[test]
fn it_says_in_its_help_and_log_that_it_is_for_one_machine_and_one_user() {
    let sandbox = Sandbox::new();
    let words = "for one machine and one user";
    assert!(sandbox.run("skynet-broker", &["--help"]).good().contains(words));
    let mut broker = Broker::skynet(&sandbox);
    broker.process().wait_until_it_says(words);
}

/// "Listens on loopback only; PLAIN authentication against a password file of mode 0600 …; data folder 0700."
#[test]
fn what_others_could_reach_or_read_is_refused_and_the_repair_named() {
    let sandbox = Sandbox::new();
    let refused = |dir: &str, part: &str| {
        let done = sandbox.run("skynet-broker", &[dir]);
        let (code, _, err) = done.told();
        assert!(code == 111 && err.lines().count() == 1 && err.contains(part), "{part}: {done:?}");
        assert!(!err.contains("secret"), "{err}");
    };
    refused(&folder(&sandbox, "0.0.0.0:20000"), "is not a loopback address");
    let dir = folder(&sandbox, &format!("127.0.0.1:{}", free_port()));
    let file = format!("{dir}/broker.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    refused(&dir, &format!("chmod 600 {file}"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
    refused(&dir, &format!("chmod 700 {dir}"));
}

/// "One process by lock."
#[test]
fn a_second_broker_in_the_same_folder_is_refused() {
    let sandbox = Sandbox::new();
    let _broker = Broker::skynet(&sandbox);
    let dir = sandbox.path("broker");
    let done = sandbox.run("skynet-broker", &[dir.to_str().unwrap()]);
    let (code, _, err) = done.told();
    assert!(code == 111 && err.contains("another skynet-broker uses it"), "{done:?}");
}

/// "TERM flushes and exits 0": also what was never confirmed to anybody.
#[test]
fn what_came_before_it_was_told_to_stop_is_there_when_it_starts_again() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let c = stage.enter();
    stage.ask(c, 1, declare(durable("q")));
    for n in 0..500 {
        stage.publish(c, to("", "q"), plain(), format!("{n}").as_bytes());
    }
    // It has read all of it once it answers.
    stage.ask(c, 1, passive("q"));
    let ended = broker.process().terminate();
    assert_eq!(ended.told().0, 0, "{ended:?}");
    broker.start_again(&sandbox);
    assert_eq!(broker.client().depth("q"), 500);
}

/// "Transactions are refused with 540."
#[test]
fn transactions_are_refused_with_540() {
    let sandbox = Sandbox::new();
    let broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let c = stage.enter();
    stage.say(c, 1, AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
    let heard = stage.hear(c);
    let Heard::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))) = &heard else {
        panic!("{heard:?}");
    };
    assert_eq!(close.reply_code, 540, "{close:?}");
}

/// "Slow and dead peers dropped": one that says nothing for two of the heartbeats that it asked for, which are longer than
/// this test may be held up.
#[test]
fn a_peer_that_has_gone_silent_is_dropped_and_what_it_had_goes_to_another() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let c = stage.enter_with_heartbeat(6);
    stage.hear(c);
    stage.open_channel(c, 1);
    stage.ask(c, 1, declare(durable("q")));
    fill(&mut stage, c, "q", &["1"]);
    stage.ask(c, 1, start(consume("q", "t")));
    assert!(matches!(stage.hear(c), Heard::Method(1, _)), "it has the message");
    // It only listens from now on.
    while stage.hears_a_heartbeat(c) {}
    broker.process().wait_until_it_says("is silent: closed");
    let client = broker.client();
    sandbox.wait_until("the message is back", || client.depth("q") == 1);
}

/// A broker that stood still itself, as the whole machine may, has missed no sign of life: it lies in its sockets.
#[test]
fn a_broker_that_was_stopped_drops_nobody_who_has_spoken_meanwhile() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let (mut stage, peers) = sandbox.wait_for("it is stopped before any of its peers is silent", || {
        let (mut stage, begun) = (Stage::new(&broker), Instant::now());
        // Many, as it is chance what is looked at first of all that has come.
        let peers: Vec<_> = (0..12).map(|_| stage.enter_with_heartbeat(1)).collect();
        peers.iter().for_each(|peer| drop(stage.hear(*peer)));
        broker.process().stop();
        let in_time = begun.elapsed() < Duration::from_secs(1);
        if !in_time {
            broker.process().signal(Signal::SIGCONT);
        }
        in_time.then_some((stage, peers))
    });
    std::thread::sleep(Duration::from_secs(3)); // more than two of their heartbeats
    let open = || AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
    peers.iter().for_each(|peer| stage.say(*peer, 1, open()));
    broker.process().signal(Signal::SIGCONT);
    peers.iter().for_each(|peer| drop(stage.hear(*peer)));
    let said = stage.transcript();
    assert_eq!(said.matches("1 Channel(OpenOk").count(), 12, "{said}");
}
