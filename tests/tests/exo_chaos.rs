//! Chaos with counting: exo is killed, skynet-broker is killed, the disk fills.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod ledger;

use ledger::{Ledger, seconds};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::Broker;
use tests::waiting::{DEADLINE, holds_within};
use unix::process::Signal;

fn exo_is_killed_every_second(mut ledger: Ledger, what: &str) {
    ledger.publish_all();
    let mut exo = ledger.p.launch("config.exo");
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        // At any instant: somewhere in the second.
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1000)));
        exo = ledger.kill(&mut exo);
    }
    ledger.settle(what, exo);
}

#[test]
fn nothing_is_lost_while_exo_is_killed_every_second_on_rabbitmq() {
    exo_is_killed_every_second(Ledger::new(|_| Broker::rabbitmq(), ""), "exo killed, RabbitMQ");
}

#[test]
fn nothing_is_lost_while_exo_is_killed_every_second_on_skynet_broker() {
    exo_is_killed_every_second(Ledger::new(Broker::skynet, ""), "exo killed, skynet-broker");
}

#[test]
fn nothing_is_lost_while_the_broker_is_killed_and_restarted() {
    let mut ledger = Ledger::new(Broker::skynet, "");
    ledger.publish_all();
    let exo = ledger.p.launch("config.exo");
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1500)));
        let how = if ledger.random(3) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        ledger.p.broker.process().signal(how);
        ledger.p.broker.process().finish();
        ledger.broker_kills += 1;
        ledger.p.broker.start_again(&ledger.p.sandbox);
    }
    ledger.settle("skynet-broker killed", exo);
}

/// The journal lies on a small disk of its own, in a mount namespace of exo's, which is filled and emptied.
#[test]
fn nothing_is_lost_while_the_disk_of_the_journal_is_full() {
    if !unix::privileges::is_root() {
        return; // only root can mount
    }
    let mut ledger = Ledger::new(Broker::skynet, "user = \"root\"\n");
    ledger.publish_all();
    let journal = ledger.state().join("journal");
    fs::create_dir_all(&journal).unwrap();
    let script =
        format!("mount -t tmpfs -o size=2m tmpfs {} && cd sizer && exec exo 2>&1", journal.display());
    let exo = ledger.p.sandbox.start("unshare", &["-m", "sh", "-c", &script]);
    ledger.p.sandbox.wait_until("it consumes", || exo.out().contains("consuming from sizer"));
    let inside = |name: &str| PathBuf::from(format!("/proc/{}/root{}/{name}", exo.pid(), journal.display()));
    let end = Instant::now() + seconds();
    let mut full = 0;
    while Instant::now() < end {
        let mut filler = File::create(inside("filler")).unwrap();
        full += 1;
        let spell = Instant::now() + Duration::from_millis(500 + ledger.random(1000));
        // The first spell lasts until it is noticed, however slow this machine is.
        holds_within(DEADLINE, || {
            // Until there is no room left, again and again: exo lets go of what it can do without.
            while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
            Instant::now() >= spell && exo.out().contains("cannot write the journal")
        });
        fs::remove_file(inside("filler")).unwrap();
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1500)));
    }
    assert!(exo.out().contains("cannot write the journal"), "the disk was never full{}", exo.told());
    let inside = inside("");
    ledger.read_journal(&inside);
    println!("the disk was full {full} times");
    ledger.settle("journal's disk full", exo);
}
