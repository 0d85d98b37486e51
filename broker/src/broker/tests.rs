//! The broker without sockets and disk: what is kept where, who has to wait, and that nothing is lost or doubled
//! whatever comes in whatever order.

use super::channel as channel_of_the_broker;
use super::*;
use amq_protocol::protocol::{basic, channel, connection, queue};
use amq_protocol::types::FieldTable;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const ME: ConnectionId = 1;
const OTHER: ConnectionId = 2;

/// A disk in memory.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<Stored>>);

/// Key and body by number.
type Stored = BTreeMap<u64, (String, Vec<u8>)>;

impl Shelf for Disk {
    fn fetch(&self, id: u64) -> Result<Option<Message>, String> {
        Ok(self.0.borrow().get(&id).map(|(key, body)| Message::for_test(key, body)))
    }
}

struct Bench {
    broker: Broker,
    disk: Disk,
    waiting: VecDeque<(u64, Vec<Change>)>,
    heard: Vec<(ConnectionId, Send)>,
    now: Moment,
}

impl Bench {
    fn new() -> Self {
        let disk = Disk::default();
        let broker =
            Broker::new("me", &["/".into()], Contents::default(), Box::new(disk.clone()), Weight::default());
        let mut bench = Self { broker, disk, waiting: VecDeque::new(), heard: vec![], now: Moment::ZERO };
        for id in [ME, OTHER] {
            bench.broker.open(id, "/", true, 9).unwrap();
            bench.say(id, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        }
        bench
    }

    fn say(&mut self, id: ConnectionId, class: AMQPClass) {
        if let Err(fault) = self.broker.method(id, 1, class, self.now) {
            self.broker.fail_channel(id, 1, &fault, (0, 0), self.now);
        }
        self.collect();
    }

    fn collect(&mut self) {
        self.broker.look_at_memory();
        self.waiting.extend(self.broker.take_changes());
        self.heard.extend(self.broker.take_out());
    }

    /// The disk catches up with so many batches.
    fn store(&mut self, batches: usize) {
        for _ in 0..batches {
            let Some((number, changes)) = self.waiting.pop_front() else { return };
            for change in changes {
                let mut disk = self.disk.0.borrow_mut();
                match change {
                    Change::Put { id, message, .. } => {
                        disk.insert(id, (message.key.clone(), message.body.clone()));
                    }
                    Change::Gone(id) => assert!(disk.remove(&id).is_some(), "{id} was not there"),
                    _ => {}
                }
            }
            self.broker.stored(number);
            self.collect();
        }
    }

    fn declare(&mut self, name: &str, durable: bool) {
        let declare = queue::Declare { queue: name.into(), durable, ..queue::Declare::default() };
        self.say(ME, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    }

    fn publish(&mut self, id: ConnectionId, name: &str, body: &[u8]) {
        let publish = basic::Publish { routing_key: name.into(), ..basic::Publish::default() };
        self.say(id, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        let mut header = vec![0; 14];
        header[4..12].copy_from_slice(&(body.len() as u64).to_be_bytes());
        self.broker.header(id, 1, &header, self.now).unwrap();
        if !body.is_empty() {
            self.broker.body(id, 1, body, self.now).unwrap();
        }
        self.collect();
    }

    fn consume(&mut self, id: ConnectionId, name: &str, tag: &str) {
        let consume =
            basic::Consume { queue: name.into(), consumer_tag: tag.into(), ..basic::Consume::default() };
        self.say(id, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    }

    fn get(&mut self, id: ConnectionId, name: &str) {
        let get = basic::Get { queue: name.into(), no_ack: true };
        self.say(id, AMQPClass::Basic(basic::AMQPMethod::Get(get)));
    }

    fn ready(&self, name: &str) -> &VecDeque<Entry> {
        &self.broker.vhosts["/"].queues[name].ready
    }

    /// The bodies that were delivered to a connection, and are forgotten now.
    fn delivered(&mut self, to: ConnectionId) -> Vec<Vec<u8>> {
        let mut bodies = vec![];
        self.heard.retain(|(id, send)| match send {
            Send::Content(_, _, message) if *id == to => {
                bodies.push(message.body.clone());
                false
            }
            _ => true,
        });
        bodies
    }
}

fn in_memory(entries: &VecDeque<Entry>) -> usize {
    entries.iter().filter(|entry| entry.is_here()).count()
}

#[test]
fn what_is_on_disk_and_too_much_for_the_memory_is_on_disk_only_and_comes_back_in_order() {
    let mut bench = Bench::new();
    bench.declare("q", true);
    let body = |n: u8| vec![n; 1 << 20];
    for n in 0..80 {
        bench.publish(ME, "q", &body(n));
    }
    assert_eq!(in_memory(bench.ready("q")), 80, "nothing leaves the memory before it is on disk");
    bench.store(usize::MAX);
    let kept = in_memory(bench.ready("q"));
    assert!((60..=64).contains(&kept), "{kept} of 80 MiB");
    for n in 0..80 {
        bench.get(OTHER, "q");
        assert_eq!(bench.delivered(OTHER), [body(n)], "message {n}");
    }
    bench.store(usize::MAX);
    assert!(bench.disk.0.borrow().is_empty());
    assert_eq!(bench.broker.weight.bytes(), 0);
}

/// Who has to publish before they acknowledge would wait for ever.
#[test]
fn what_consumers_have_in_hand_keeps_no_publisher_waiting_when_it_is_on_disk() {
    let mut bench = Bench::new();
    bench.declare("q", true);
    bench.consume(ME, "q", "t");
    let body = |n: u8| vec![n; 8 << 20];
    for n in 0..40 {
        bench.publish(OTHER, "q", &body(n));
        assert_eq!(bench.delivered(ME), [body(n)]);
        bench.broker.sent(ME, bench.now);
        bench.store(usize::MAX);
    }
    let kept = bench.broker.weight.bytes() >> 20;
    assert!((56..=64).contains(&kept) && !bench.broker.is_blocked(), "{kept} of 320 MiB");
    bench.broker.close(ME, bench.now);
    for n in 0..40 {
        bench.get(OTHER, "q");
        assert_eq!(bench.delivered(OTHER), [body(n)], "message {n} is back in its place");
    }
}

#[test]
fn who_publishes_waits_and_is_told_while_memory_is_low() {
    let mut bench = Bench::new();
    bench.declare("q", false);
    let told = |bench: &mut Bench| {
        let said: Vec<_> = bench.heard.drain(..).collect();
        let word = |send: &Send| match send {
            Send::Method(0, AMQPClass::Connection(connection::AMQPMethod::Blocked(_))) => Some("blocked"),
            Send::Method(0, AMQPClass::Connection(connection::AMQPMethod::Unblocked(_))) => Some("unblocked"),
            _ => None,
        };
        said.iter().filter_map(|(id, send)| Some((*id, word(send)?))).collect::<Vec<_>>()
    };
    while !bench.broker.is_blocked() {
        bench.publish(ME, "q", &vec![0; 8 << 20]);
    }
    assert_eq!(told(&mut bench), [(ME, "blocked")]);
    assert!(bench.broker.has_to_wait(ME) && !bench.broker.has_to_wait(OTHER));
    bench.publish(OTHER, "q", b"x");
    assert_eq!(told(&mut bench), [(OTHER, "blocked")], "who publishes later is told then");
    let purge = queue::Purge { queue: "q".into(), nowait: true };
    bench.say(ME, AMQPClass::Queue(queue::AMQPMethod::Purge(purge)));
    bench.collect();
    let mut heard = told(&mut bench);
    heard.sort();
    assert_eq!(heard, [(ME, "unblocked"), (OTHER, "unblocked")]);
    assert!(!bench.broker.has_to_wait(ME));
}

#[test]
fn a_connection_that_reads_slowly_is_not_buried() {
    let mut bench = Bench::new();
    bench.declare("q", false);
    for _ in 0..40 {
        bench.publish(ME, "q", &[7; 100_000]);
    }
    bench.consume(OTHER, "q", "t");
    assert_eq!(bench.delivered(OTHER).len(), 11, "a mebibyte, and the message that made it full");
    bench.broker.sent(OTHER, bench.now);
    bench.collect();
    assert_eq!(bench.delivered(OTHER).len(), 11);
}

#[test]
fn what_was_found_on_disk_is_delivered_as_redelivered() {
    let disk = Disk::default();
    disk.0.borrow_mut().insert(7, ("q".into(), b"old".to_vec()));
    let contents = Contents { queues: vec![("/".into(), "q".into(), vec![])], ..Contents::default() };
    let mut broker = Broker::new("me", &["/".into()], contents, Box::new(disk.clone()), Weight::default());
    broker.found(7, "/", "q", None);
    broker.found(9, "/", "q", None); // and its message is not there
    let mut bench = Bench { broker, disk, waiting: VecDeque::new(), heard: vec![], now: Moment::ZERO };
    bench.broker.open(ME, "/", false, 9).unwrap();
    bench.say(ME, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    bench.get(ME, "q");
    let redelivered = bench.heard.iter().any(|(_, send)| {
        matches!(send, Send::Content(_, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok)), _) if ok.redelivered)
    });
    assert!(redelivered);
    bench.get(ME, "q");
    assert_eq!(bench.broker.take_troubles(), ["cannot read a message of queue q: it is not there"]);
    bench.publish(ME, "q", b"new");
    assert_eq!(bench.ready("q").back().map(|entry| entry.id), Some(10), "no name is given twice");
}

#[derive(Clone, Debug)]
enum Op {
    Publish(bool),
    Consume(bool, u16),
    Cancel(bool),
    Ack(u64, bool),
    Nack(u64, bool, bool),
    Leave(bool),
    Sent(bool),
    Store(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<bool>().prop_map(Op::Publish),
        1 => (any::<bool>(), 0..4_u16).prop_map(|(who, prefetch)| Op::Consume(who, prefetch)),
        1 => any::<bool>().prop_map(Op::Cancel),
        3 => (1..12_u64, any::<bool>()).prop_map(|(tag, multiple)| Op::Ack(tag, multiple)),
        2 => (1..12_u64, any::<bool>(), any::<bool>()).prop_map(|(tag, multiple, back)| Op::Nack(tag, multiple, back)),
        1 => any::<bool>().prop_map(Op::Leave),
        1 => any::<bool>().prop_map(Op::Sent),
        3 => (1..4_usize).prop_map(Op::Store),
    ]
}

fn unacked(bench: &Bench) -> impl Iterator<Item = &channel_of_the_broker::Unacked> {
    let channels = bench.broker.connections.values().flat_map(|connection| connection.channels.values());
    channels.flat_map(|channel| channel.unacked.values())
}

/// The messages that are ready or owed.
fn held(bench: &Bench) -> BTreeSet<u64> {
    let ready = bench.broker.vhosts["/"].queues["q"].ready.iter();
    ready.chain(unacked(bench).map(|unacked| &unacked.entry)).map(|entry| entry.id).collect()
}

/// The messages that may be gone after this: those that it acknowledges or throws away.
fn may_settle(bench: &Bench, op: &Op) -> BTreeSet<u64> {
    let (tag, multiple) = match op {
        Op::Ack(tag, multiple) | Op::Nack(tag, multiple, false) => (*tag, *multiple),
        _ => return BTreeSet::new(),
    };
    let owed = &bench.broker.connections[&ME].channels[&1].unacked;
    owed.iter()
        .filter(|(t, _)| **t == tag || multiple && **t < tag)
        .map(|(_, unacked)| unacked.entry.id)
        .collect()
}

fn perform(bench: &mut Bench, op: &Op, published: &mut u32) {
    let who = |first: bool| if first { ME } else { OTHER };
    match op {
        Op::Publish(first) => {
            *published += 1;
            bench.publish(who(*first), "q", &published.to_be_bytes());
        }
        Op::Consume(first, prefetch) => {
            let qos = basic::Qos { prefetch_count: *prefetch, global: false };
            bench.say(who(*first), AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
            bench.consume(who(*first), "q", "t");
        }
        Op::Cancel(first) => {
            let cancel = basic::Cancel { consumer_tag: "t".into(), nowait: false };
            bench.say(who(*first), AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        }
        Op::Ack(tag, multiple) => {
            let ack = basic::Ack { delivery_tag: *tag, multiple: *multiple };
            bench.say(ME, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
        }
        Op::Nack(tag, multiple, requeue) => {
            let nack = basic::Nack { delivery_tag: *tag, multiple: *multiple, requeue: *requeue };
            bench.say(ME, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
        }
        Op::Leave(first) => {
            let id = who(*first);
            bench.broker.close(id, bench.now);
            bench.broker.open(id, "/", true, 9).unwrap();
            bench.collect();
        }
        Op::Sent(first) => bench.broker.sent(who(*first), bench.now),
        Op::Store(batches) => bench.store(*batches),
    }
    bench.collect();
    // A channel that wrong use has closed is opened again, as a peer would.
    for id in [ME, OTHER] {
        let closing = bench.broker.connections[&id].channels.get(&1).map(|channel| channel.closing);
        if closing == Some(true) {
            bench.say(id, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
        }
        if closing != Some(false) {
            bench.say(id, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: true });
            bench.say(id, AMQPClass::Confirm(select));
        }
    }
}

fn check(bench: &Bench) {
    let queue = &bench.broker.vhosts["/"].queues["q"];
    assert!(queue.ready.iter().is_sorted_by_key(|entry| entry.id), "the order is kept");
    let count = queue.ready.len() + unacked(bench).count();
    assert_eq!(held(bench).len(), count, "nobody has what somebody else has");
    for consumer in &queue.consumers {
        let channel = &bench.broker.connections[&consumer.connection].channels[&consumer.channel];
        let owed = channel.unacked.values().filter(|u| u.consumer.as_deref() == Some(&consumer.tag)).count();
        assert!(consumer.prefetch == 0 || owed >= consumer.outstanding as usize, "credit is counted");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_and_the_disk_holds_what_the_queue_holds(ops in proptest::collection::vec(op(), 1..120)) {
        let mut bench = Bench::new();
        bench.declare("q", true);
        let mut published = 0;
        for op in &ops {
            let (before, may_go) = (held(&bench), may_settle(&bench, op));
            perform(&mut bench, op, &mut published);
            check(&bench);
            let gone: Vec<_> = before.difference(&held(&bench)).copied().collect();
            prop_assert!(gone.iter().all(|id| may_go.contains(id)), "{:?} lost {:?}", op, gone);
        }
        prop_assert!(held(&bench).len() <= published as usize);
        bench.store(usize::MAX);
        let held: Vec<u64> = held(&bench).into_iter().collect();
        let stored: Vec<u64> = bench.disk.0.borrow().keys().copied().collect();
        prop_assert_eq!(held, stored);
        prop_assert!(bench.broker.unconfirmed.is_empty(), "all that is on disk is confirmed");
    }
}

#[test]
fn queues_and_messages_become_due_as_time_passes() {
    let mut bench = Bench::new();
    let mut arguments = FieldTable::default();
    arguments.insert("x-expires".into(), amq_protocol::types::AMQPValue::LongInt(1000));
    let declare = queue::Declare { queue: "brief".into(), arguments, ..queue::Declare::default() };
    bench.say(ME, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    assert!(bench.broker.is_ticking());
    bench.consume(OTHER, "brief", "t");
    bench.now = Moment::from_secs(5);
    bench.broker.tick(bench.now);
    assert!(bench.broker.vhosts["/"].queues.contains_key("brief"), "a queue with a consumer is in use");
    bench.broker.close(OTHER, bench.now);
    for (seconds, there) in [(5, true), (6, false)] {
        bench.broker.tick(Moment::from_secs(seconds));
        assert_eq!(bench.broker.vhosts["/"].queues.contains_key("brief"), there, "after {seconds} s");
    }
}
