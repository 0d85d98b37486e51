//! skynet-broker is killed with -9 again and again while numbered messages are published: each one that was
//! confirmed is there afterwards, once, and in order.
//!
//! SKYNET_CHAOS_SECONDS (default 10) says how long, SKYNET_CHAOS_SEED begins the same history again.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod broker;

use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::basic::{self, AMQPProperties};
use broker::*;
use std::collections::BTreeSet;
use std::time::Instant;
use tests::Sandbox;
use tests::broker::Broker;
use tests::chaos::{self, Chance};
use tests::stage::{Heard, Stage};

#[test]
fn what_was_confirmed_survives_kill_9_at_any_instant() {
    let (seed, length) = (chaos::seed(), chaos::time(10));
    println!("SKYNET_CHAOS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let (mut sent, mut confirmed, mut kills) = (0_u64, BTreeSet::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < length || confirmed.is_empty() {
        let mut stage = Stage::new(&broker);
        let c = stage.enter();
        stage.ask(c, 1, declare(durable("q")));
        stage.ask(c, 1, confirm_select());
        let first = sent + 1;
        let heard = |stage: &mut Stage, confirmed: &mut BTreeSet<u64>| match stage.hear(c) {
            Heard::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) => {
                confirmed.insert(first + ack.delivery_tag - 1);
                true
            }
            _ => false,
        };
        for _ in 0..chance.below(20) {
            let many = 1 + chance.below(30);
            for _ in 0..many {
                sent += 1;
                let properties = AMQPProperties::default().with_delivery_mode(1 + chance.below(2) as u8);
                let mut body = sent.to_be_bytes().to_vec();
                body.resize(8 + chance.below(3000) as usize, 0);
                stage.publish(c, to("", "q"), properties, &body);
            }
            // Some confirms are waited for: the kill may come before any of them, or after all.
            (0..chance.below(many + 1)).all(|_| heard(&mut stage, &mut confirmed));
        }
        broker.process().kill();
        kills += 1;
        while heard(&mut stage, &mut confirmed) {}
        broker.start_again(&sandbox);
    }
    let client = broker.client();
    let mut last = 0;
    let mut there = BTreeSet::new();
    while let Some(body) = client.take("q") {
        let n = u64::from_be_bytes(body[..8].try_into().unwrap());
        assert!(n > last, "{n} comes after {last} (SKYNET_CHAOS_SEED={seed})");
        last = n;
        there.insert(n);
    }
    let lost: Vec<_> = confirmed.difference(&there).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?} (SKYNET_CHAOS_SEED={seed})");
    println!(
        "skynet-broker killed: {kills} kills, {sent} published, {} confirmed, {} there",
        confirmed.len(),
        there.len()
    );
}
