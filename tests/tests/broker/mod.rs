//! Short words for the methods of the protocol, and playing a scenario before both brokers.
#![allow(dead_code, reason = "each test file uses its part of it")]

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, channel, confirm, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use tests::Sandbox;
use tests::broker::Broker;
use tests::stage::Stage;

/// Plays the scenario before RabbitMQ and before ours: both say the same.
pub fn same(scenario: fn(&mut Stage)) {
    let play = |broker: Broker| {
        let mut stage = Stage::new(&broker);
        scenario(&mut stage);
        stage.transcript()
    };
    let theirs = play(Broker::rabbitmq());
    let sandbox = Sandbox::new();
    let ours = play(Broker::skynet(&sandbox));
    assert!(!theirs.is_empty(), "a scenario in which nothing is said");
    if theirs != ours {
        let differs = theirs.lines().zip(ours.lines()).position(|(a, b)| a != b);
        panic!(
            "line {:?} differs\n--- RabbitMQ\n{theirs}\n--- skynet-broker\n{ours}",
            differs.map(|n| n + 1)
        );
    }
}

/// Makes a test of each scenario.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod both_brokers_say_the_same {
            $(#[test] fn $name() { super::broker::same(super::$name); })*
        }
    };
}

pub fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), value.clone());
    }
    table
}

pub fn queue(name: &str) -> queue::Declare {
    queue::Declare { queue: name.into(), ..queue::Declare::default() }
}

pub fn durable(name: &str) -> queue::Declare {
    queue::Declare { durable: true, ..queue(name) }
}

pub fn declare(declare: queue::Declare) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(declare))
}

pub fn passive(name: &str) -> AMQPClass {
    declare(queue::Declare { passive: true, ..queue(name) })
}

pub fn delete(queue: &str, if_unused: bool, if_empty: bool) -> AMQPClass {
    let delete = queue::Delete { queue: queue.into(), if_unused, if_empty, nowait: false };
    AMQPClass::Queue(queue::AMQPMethod::Delete(delete))
}

pub fn purge(queue: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Purge(queue::Purge { queue: queue.into(), nowait: false }))
}

pub fn bind(queue: &str, exchange: &str, key: &str) -> AMQPClass {
    let (queue, exchange, routing_key) = (queue.into(), exchange.into(), key.into());
    let bind = queue::Bind { queue, exchange, routing_key, nowait: false, arguments: FieldTable::default() };
    AMQPClass::Queue(queue::AMQPMethod::Bind(bind))
}

pub fn unbind(queue: &str, exchange: &str, key: &str) -> AMQPClass {
    let (queue, exchange, routing_key) = (queue.into(), exchange.into(), key.into());
    let unbind = queue::Unbind { queue, exchange, routing_key, arguments: FieldTable::default() };
    AMQPClass::Queue(queue::AMQPMethod::Unbind(unbind))
}

pub fn exchange(name: &str, kind: &str) -> exchange::Declare {
    exchange::Declare { exchange: name.into(), kind: kind.into(), ..exchange::Declare::default() }
}

pub fn declare_exchange(declare: exchange::Declare) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare))
}

pub fn delete_exchange(name: &str, if_unused: bool) -> AMQPClass {
    let delete = exchange::Delete { exchange: name.into(), if_unused, nowait: false };
    AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete))
}

pub fn consume(queue: &str, tag: &str) -> basic::Consume {
    basic::Consume { queue: queue.into(), consumer_tag: tag.into(), ..basic::Consume::default() }
}

pub fn start(consume: basic::Consume) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Consume(consume))
}

pub fn cancel(tag: &str) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag: tag.into(), nowait: false }))
}

pub fn get(queue: &str, no_ack: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get { queue: queue.into(), no_ack }))
}

pub fn ack(delivery_tag: u64, multiple: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }))
}

pub fn nack(delivery_tag: u64, multiple: bool, requeue: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue }))
}

pub fn reject(delivery_tag: u64, requeue: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue }))
}

pub fn recover(requeue: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue }))
}

pub fn qos(prefetch_count: u16, global: bool) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global }))
}

pub fn confirm_select() -> AMQPClass {
    AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }))
}

pub fn close_channel() -> AMQPClass {
    let close = channel::Close { reply_code: 200, ..channel::Close::default() };
    AMQPClass::Channel(channel::AMQPMethod::Close(close))
}

pub fn to(exchange: &str, key: &str) -> basic::Publish {
    basic::Publish { exchange: exchange.into(), routing_key: key.into(), ..basic::Publish::default() }
}

pub fn mandatory(exchange: &str, key: &str) -> basic::Publish {
    basic::Publish { mandatory: true, ..to(exchange, key) }
}

pub fn plain() -> AMQPProperties {
    AMQPProperties::default()
}

/// Publishes these bodies to a queue, each confirmed, so that they are there.
pub fn fill(stage: &mut Stage, line: usize, queue: &str, bodies: &[&str]) {
    stage.ask(line, 1, confirm_select());
    for body in bodies {
        stage.publish(line, to("", queue), plain(), body.as_bytes());
        stage.hear(line);
    }
}
