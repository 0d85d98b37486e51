//! The broker itself: vhosts, queues, exchanges, channels. No sockets, no clock: what is to be sent and what is
//! to be stored comes out as lists, what lies on disk only comes from a [`Shelf`].
//!
//! | file | idea |
//! |---|---|
//! | `channel.rs` | a channel: open, flow, close, and what goes back with it |
//! | `queues.rs` | declare, bind, purge, delete |
//! | `exchanges.rs` | declare, delete |
//! | `basic.rs` | which method of the class basic is dealt with where |
//! | `publish.rs` | from frames to a message in its queues; confirms |
//! | `deliver.rs` | consume, get, and what is delivered when |
//! | `settle.rs` | ack, nack, reject, recover |
//! | `replies.rs` | direct reply-to: answers without a queue |
//! | `dead.rs` | where messages go that were thrown away or became too old |
//! | `names.rs` | names that are made up: of queues, consumers, places for answers |
//! | `memory.rs` | what is kept in memory, what only on disk, when publishers wait |

mod basic;
mod channel;
mod dead;
mod deliver;
mod exchanges;
mod memory;
mod names;
mod publish;
mod queues;
mod replies;
mod settle;

use crate::arguments::Arguments;
use crate::exchange::{Exchange, Kind};
use crate::fault::Fault;
use crate::message::{Message, Weight};
use crate::queue::{ConnectionId, Content, Entry, Moment, Queue};
use crate::store::{Change, Contents};
use amq_protocol::protocol::{AMQPClass, access, confirm};
use channel::Channel;
use memory::Leaving;
use names::Names;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Something to be sent to a connection.
#[derive(Debug)]
pub enum Send {
    /// A method.
    Method(u16, AMQPClass),
    /// A method with a message.
    Content(u16, AMQPClass, Arc<Message>),
}

/// Where messages lie of which no copy is in memory.
pub trait Shelf {
    /// Reads one; `None` where it is not there.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn fetch(&self, id: u64) -> Result<Option<Message>, String>;
}

/// The broker.
pub struct Broker {
    /// The name of the one account.
    user: String,
    vhosts: HashMap<String, VHost>,
    connections: HashMap<ConnectionId, Connection>,
    shelf: Box<dyn Shelf>,
    weight: Weight,
    last_id: u64,
    names: Names,
    batch: u64,
    stored: u64,
    unconfirmed: VecDeque<(u64, ConnectionId, u16, u64)>,
    /// Messages that give up their copy in memory when they are on disk.
    leaving_memory: VecDeque<Leaving>,
    blocked: bool,
    ticking: bool,
    changes: Vec<Change>,
    out: Vec<(ConnectionId, Send)>,
    troubles: Vec<String>,
}

#[derive(Default)]
struct VHost {
    queues: HashMap<String, Queue>,
    exchanges: HashMap<String, Exchange>,
}

struct Connection {
    vhost: String,
    channels: HashMap<u16, Channel>,
    /// So many of them at the most.
    channel_max: u16,
    /// Bytes that were handed out to be sent and are not sent yet.
    unsent: usize,
    publishes: bool,
    /// It wants to be told when it has to wait.
    hears_blocked: bool,
}

type Done = Result<(), Fault>;

impl Broker {
    /// A broker for this user with these vhosts, and in them what was stored.
    pub fn new(
        user: &str,
        vhosts: &[String],
        contents: Contents,
        shelf: Box<dyn Shelf>,
        weight: Weight,
    ) -> Self {
        let mut broker = Self {
            user: user.into(),
            vhosts: vhosts.iter().map(|name| (name.clone(), VHost::fresh())).collect(),
            connections: HashMap::new(),
            shelf,
            weight,
            last_id: 0,
            names: Names::new(),
            batch: 0,
            stored: 0,
            unconfirmed: VecDeque::new(),
            leaving_memory: VecDeque::new(),
            blocked: false,
            ticking: false,
            changes: vec![],
            out: vec![],
            troubles: vec![],
        };
        for (vhost, name, arguments) in contents.queues {
            if let Some(vhost) = broker.vhosts.get_mut(&vhost) {
                let arguments = Arguments::from_bytes(&arguments);
                broker.ticking |= arguments.have_deadlines();
                vhost.queues.insert(name, Queue { durable: true, arguments, ..Queue::default() });
            }
        }
        for (vhost, name, kind, auto_delete) in contents.exchanges {
            if let (Some(vhost), Some(kind)) = (broker.vhosts.get_mut(&vhost), Kind::parse(&kind)) {
                vhost.exchanges.insert(name, Exchange { kind, durable: true, auto_delete, bindings: vec![] });
            }
        }
        for (vhost, exchange, binding) in contents.bindings {
            let Some(vhost) = broker.vhosts.get_mut(&vhost) else { continue };
            if !vhost.queues.contains_key(&binding.queue) {
                continue; // an auto-delete queue, which went with the last broker
            }
            if let Some(exchange) = vhost.exchanges.get_mut(&exchange) {
                exchange.bindings.push(binding);
            }
        }
        broker
    }

    /// A message was found on disk at the start.
    pub fn found(&mut self, id: u64, vhost: &str, queue: &str, ttl: Option<u64>) {
        self.last_id = self.last_id.max(id);
        if let Some(queue) = self.vhosts.get_mut(vhost).and_then(|v| v.queues.get_mut(queue)) {
            // Whether it had been delivered is not known: it may have been. Its time to live begins again: the
            // clock that measures it did.
            let own = ttl.map(Duration::from_millis);
            let expires = own.into_iter().chain(queue.arguments.ttl).min();
            queue.ready.push_back(Entry {
                id,
                content: Content::Stored,
                batch: Some(0),
                redelivered: true,
                expires,
            });
        }
    }

    /// Takes what is to be sent.
    pub fn take_out(&mut self) -> Vec<(ConnectionId, Send)> {
        std::mem::take(&mut self.out)
    }

    /// Takes what went wrong without being anybody's fault, to be logged.
    pub fn take_troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// Takes what is to be stored, with the number by which it is to be reported to [`Broker::stored`].
    pub fn take_changes(&mut self) -> Option<(u64, Vec<Change>)> {
        if self.changes.is_empty() {
            return None;
        }
        self.batch += 1;
        Some((self.batch, std::mem::take(&mut self.changes)))
    }

    /// All batches up to this one are written: what was published in them is confirmed.
    pub fn stored(&mut self, batch: u64) {
        self.stored = batch;
        while self.unconfirmed.front().is_some_and(|(number, ..)| *number <= batch) {
            let Some((_, connection, channel, tag)) = self.unconfirmed.pop_front() else { return };
            self.confirm(connection, channel, tag);
        }
        self.leave_memory();
    }

    /// A connection was opened, whose peer understands `connection.blocked` or does not, for so many channels.
    ///
    /// # Errors
    /// 530 where there is no such vhost.
    pub fn open(&mut self, id: ConnectionId, vhost: &str, hears_blocked: bool, channel_max: u16) -> Done {
        if !self.vhosts.contains_key(vhost) {
            return Err(Fault::not_allowed(&format!("vhost {vhost} not found")));
        }
        let connection = Connection {
            vhost: vhost.into(),
            channels: HashMap::new(),
            channel_max,
            unsent: 0,
            publishes: false,
            hears_blocked,
        };
        self.connections.insert(id, connection);
        Ok(())
    }

    /// A connection is gone: what it held goes back, what was its own goes.
    pub fn close(&mut self, id: ConnectionId, now: Moment) {
        let Some(connection) = self.connections.get(&id) else { return };
        let vhost = connection.vhost.clone();
        let channels: Vec<_> = connection.channels.keys().copied().collect();
        channels.into_iter().for_each(|channel| self.close_channel(id, channel, now));
        let queues = self.vhosts.get(&vhost).into_iter().flat_map(|v| v.queues.iter());
        let own: Vec<_> = queues.filter(|(_, q)| q.owner == Some(id)).map(|(name, _)| name.clone()).collect();
        own.into_iter().for_each(|name| self.remove_queue(&vhost, &name));
        self.connections.remove(&id);
    }

    /// A method came.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub fn method(&mut self, id: ConnectionId, number: u16, class: AMQPClass, now: Moment) -> Done {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let vhost = connection.vhost.clone();
        if self.concerns_channel_only(id, number, &class)? {
            return Ok(());
        }
        match class {
            AMQPClass::Channel(method) => self.channel_method(id, number, method, now),
            AMQPClass::Queue(method) => self.queue_method(id, number, &vhost, method, now),
            AMQPClass::Exchange(method) => self.exchange_method(id, number, &vhost, method),
            AMQPClass::Basic(method) => self.basic_method(id, number, &vhost, method, now),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                self.channel(id, number)?.confirms.get_or_insert(0);
                let ok = AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}));
                self.answer_unless(select.nowait, id, number, ok)
            }
            // Nothing is granted by it any more; clients of older versions still ask.
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {}));
                self.answer(id, number, ok)
            }
            _ => Err(Fault::not_implemented("this broker has no such method")),
        }
    }

    fn send(&mut self, id: ConnectionId, number: u16, class: AMQPClass) {
        self.out.push((id, Send::Method(number, class)));
    }

    fn answer(&mut self, id: ConnectionId, number: u16, class: AMQPClass) -> Done {
        self.send(id, number, class);
        Ok(())
    }

    fn answer_unless(&mut self, nowait: bool, id: ConnectionId, number: u16, class: AMQPClass) -> Done {
        if nowait { Ok(()) } else { self.answer(id, number, class) }
    }

    fn drop_entries(&mut self, entries: &[Entry]) {
        let stored = entries.iter().filter(|entry| entry.batch.is_some());
        self.changes.extend(stored.map(|entry| Change::Gone(entry.id)));
    }
}

impl VHost {
    fn fresh() -> Self {
        let standard = [
            ("amq.direct", Kind::Direct),
            ("amq.fanout", Kind::Fanout),
            ("amq.topic", Kind::Topic),
            ("amq.headers", Kind::Headers),
            ("amq.match", Kind::Headers),
        ];
        let exchanges = standard.map(|(name, kind)| {
            (name.to_owned(), Exchange { kind, durable: true, auto_delete: false, bindings: vec![] })
        });
        Self { queues: HashMap::new(), exchanges: exchanges.into() }
    }
}

#[cfg(test)]
mod tests;
