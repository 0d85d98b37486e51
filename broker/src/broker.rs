//! The broker itself: vhosts, queues, exchanges, channels. No I/O: what is to be sent and what is to be stored
//! comes out as lists.

use crate::exchange::{Exchange, Kind};
use crate::fault::Fault;
use crate::queue::{ConnectionId, Consumer, Entry, Message, Moment, Queue};
use crate::store::{Change, Contents};
use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, exchange, queue};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The largest message, as RabbitMQ has it.
const MAX_BODY: u64 = 128 << 20;

/// Something to be sent to a connection.
#[derive(Debug)]
pub enum Send {
    /// A method.
    Method(u16, AMQPClass),
    /// A method with a message.
    Content(u16, AMQPClass, Arc<Message>),
}

/// The broker.
#[derive(Default)]
pub struct Broker {
    vhosts: HashMap<String, VHost>,
    connections: HashMap<ConnectionId, Connection>,
    last_id: u64,
    last_name: u64,
    batch: u64,
    unconfirmed: VecDeque<(u64, ConnectionId, u16, u64)>,
    changes: Vec<Change>,
    out: Vec<(ConnectionId, Send)>,
}

#[derive(Default)]
struct VHost {
    queues: HashMap<String, Queue>,
    exchanges: HashMap<String, Exchange>,
}

struct Connection {
    vhost: String,
    channels: HashMap<u16, Channel>,
}

#[derive(Default)]
struct Channel {
    prefetch: u32,
    confirms: Option<u64>,
    last_tag: u64,
    unacked: BTreeMap<u64, Unacked>,
    consumers: HashMap<String, String>,
    last_queue: String,
    publishing: Option<Publishing>,
    closing: bool,
}

struct Unacked {
    queue: String,
    consumer: Option<String>,
    entry: Entry,
}

struct Publishing {
    method: basic::Publish,
    header: Option<(Vec<u8>, u64)>,
    body: Vec<u8>,
}

type Done = Result<(), Fault>;

impl Broker {
    /// A broker with these vhosts, and in them what was stored.
    pub fn new(vhosts: &[String], contents: Contents) -> Self {
        let mut broker = Self::default();
        for vhost in vhosts {
            let mut fresh = VHost::default();
            let standard =
                [("amq.direct", Kind::Direct), ("amq.fanout", Kind::Fanout), ("amq.topic", Kind::Topic)];
            for (name, kind) in standard {
                fresh.exchanges.insert(name.into(), Exchange { kind, durable: true, bindings: vec![] });
            }
            broker.vhosts.insert(vhost.clone(), fresh);
        }
        for (vhost, name) in contents.queues {
            if let Some(vhost) = broker.vhosts.get_mut(&vhost) {
                vhost.queues.insert(name, Queue { durable: true, ..Queue::default() });
            }
        }
        for (vhost, name, kind) in contents.exchanges {
            if let (Some(vhost), Some(kind)) = (broker.vhosts.get_mut(&vhost), Kind::parse(&kind)) {
                vhost.exchanges.insert(name, Exchange { kind, durable: true, bindings: vec![] });
            }
        }
        for (vhost, exchange, queue, key) in contents.bindings {
            let Some(vhost) = broker.vhosts.get_mut(&vhost) else { continue };
            if !vhost.queues.contains_key(&queue) {
                continue; // an auto-delete queue, which went with the last broker
            }
            if let Some(exchange) = vhost.exchanges.get_mut(&exchange) {
                exchange.bindings.push((queue, key));
            }
        }
        for (id, vhost, queue, message) in contents.messages {
            broker.last_id = broker.last_id.max(id);
            if let Some(queue) = broker.vhosts.get_mut(&vhost).and_then(|v| v.queues.get_mut(&queue)) {
                let message = Arc::new(message);
                // Whether it had been delivered is not known: it may have been.
                // Its time to live begins again: the clock that measures it did.
                let expires = expiration(&message.header);
                queue.ready.push_back(Entry { id, message, redelivered: true, expires });
            }
        }
        broker
    }

    /// Takes what is to be sent.
    pub fn take_out(&mut self) -> Vec<(ConnectionId, Send)> {
        std::mem::take(&mut self.out)
    }

    /// Takes what is to be stored, with the number by which it is to be reported to [`Broker::stored`].
    pub fn take_changes(&mut self) -> Option<(u64, Vec<Change>)> {
        if self.changes.is_empty() {
            return None;
        }
        self.batch += 1;
        Some((self.batch, std::mem::take(&mut self.changes)))
    }

    /// All batches up to this one are on disk: what was published in them is confirmed.
    pub fn stored(&mut self, batch: u64) {
        while self.unconfirmed.front().is_some_and(|(number, ..)| *number <= batch) {
            let Some((_, connection, channel, tag)) = self.unconfirmed.pop_front() else { return };
            self.confirm(connection, channel, tag);
        }
    }

    /// A connection was opened.
    ///
    /// # Errors
    /// 530 where there is no such vhost.
    pub fn open(&mut self, id: ConnectionId, vhost: &str) -> Done {
        if !self.vhosts.contains_key(vhost) {
            return Err(Fault { code: 530, text: format!("NOT_ALLOWED - vhost {vhost} not found") });
        }
        self.connections.insert(id, Connection { vhost: vhost.into(), channels: HashMap::new() });
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

    /// The peer did something wrong on a channel: closes it. (Faults that close the connection are the
    /// caller's.)
    pub fn fail_channel(
        &mut self,
        id: ConnectionId,
        number: u16,
        fault: &Fault,
        ids: (u16, u16),
        now: Moment,
    ) {
        self.close_channel(id, number, now);
        let closing = Channel { closing: true, ..Channel::default() };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.channels.insert(number, closing);
        }
        let close = channel::Close {
            reply_code: fault.code,
            reply_text: fault.text.as_str().into(),
            class_id: ids.0,
            method_id: ids.1,
        };
        self.send(id, number, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    /// A method came.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub fn method(&mut self, id: ConnectionId, number: u16, class: AMQPClass, now: Moment) -> Done {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let vhost = connection.vhost.clone();
        match (connection.channels.get(&number), &class) {
            (None, AMQPClass::Channel(channel::AMQPMethod::Open(_))) => {
                connection.channels.insert(number, Channel::default());
                return self.answer(
                    id,
                    number,
                    AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})),
                );
            }
            (None, _) => return Err(Fault::channel("expected 'channel.open'")),
            (Some(c), AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) if c.closing => {
                connection.channels.remove(&number);
                return Ok(());
            }
            // Both sides closed it at once: the peer still waits for an answer.
            (Some(c), AMQPClass::Channel(channel::AMQPMethod::Close(_))) if c.closing => {
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                return self.answer(id, number, AMQPClass::Channel(ok));
            }
            (Some(c), _) if c.closing => return Ok(()),
            (Some(c), _) if c.publishing.is_some() => {
                return Err(Fault::unexpected(
                    "expected content header for class 60, got non content header frame instead",
                ));
            }
            _ => {}
        }
        match class {
            AMQPClass::Channel(method) => self.channel_method(id, number, method, now),
            AMQPClass::Queue(method) => self.queue_method(id, number, &vhost, method, now),
            AMQPClass::Exchange(method) => self.exchange_method(id, number, &vhost, method),
            AMQPClass::Basic(method) => self.basic_method(id, number, &vhost, method, now),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                self.channel(id, number)?.confirms.get_or_insert(0);
                let ok = AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}));
                if select.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            _ => Err(Fault::not_implemented("this broker has no such method")),
        }
    }

    /// A content header came.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub fn header(&mut self, id: ConnectionId, number: u16, payload: &[u8], now: Moment) -> Done {
        let Ok(channel) = self.channel(id, number) else { return Ok(()) };
        if channel.closing {
            return Ok(());
        }
        let size = payload.get(4..12).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
        match &mut channel.publishing {
            Some(publishing) if publishing.header.is_none() => {
                if size > MAX_BODY {
                    return Err(Fault::precondition(&format!(
                        "message size {size} is larger than max size {MAX_BODY}"
                    )));
                }
                publishing.header = Some((payload.to_vec(), size));
            }
            _ => return Err(Fault::unexpected("expected method frame, got content header frame instead")),
        }
        self.complete(id, number, now)
    }

    /// A piece of a body came.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub fn body(&mut self, id: ConnectionId, number: u16, payload: &[u8], now: Moment) -> Done {
        let Ok(channel) = self.channel(id, number) else { return Ok(()) };
        if channel.closing {
            return Ok(());
        }
        match &mut channel.publishing {
            Some(Publishing { header: Some(_), body, .. }) => body.extend_from_slice(payload),
            _ => return Err(Fault::unexpected("expected method frame, got content body frame instead")),
        }
        self.complete(id, number, now)
    }

    fn channel(&mut self, id: ConnectionId, number: u16) -> Result<&mut Channel, Fault> {
        let channels = self.connections.get_mut(&id).map(|connection| &mut connection.channels);
        channels
            .and_then(|channels| channels.get_mut(&number))
            .ok_or_else(|| Fault::channel("expected 'channel.open'"))
    }

    fn send(&mut self, id: ConnectionId, number: u16, class: AMQPClass) {
        self.out.push((id, Send::Method(number, class)));
    }

    fn answer(&mut self, id: ConnectionId, number: u16, class: AMQPClass) -> Done {
        self.send(id, number, class);
        Ok(())
    }

    fn channel_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        method: channel::AMQPMethod,
        now: Moment,
    ) -> Done {
        match method {
            channel::AMQPMethod::Open(_) => Err(Fault::channel("second 'channel.open' seen")),
            channel::AMQPMethod::Close(_) => {
                self.close_channel(id, number, now);
                self.answer(id, number, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})))
            }
            channel::AMQPMethod::Flow(flow) => {
                let ok = channel::FlowOk { active: flow.active };
                self.answer(id, number, AMQPClass::Channel(channel::AMQPMethod::FlowOk(ok)))
            }
            _ => Ok(()),
        }
    }

    /// Consumers go, and what was not acknowledged goes back.
    fn close_channel(&mut self, id: ConnectionId, number: u16, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let vhost = connection.vhost.clone();
        let Some(channel) = connection.channels.remove(&number) else { return };
        self.unconfirmed.retain(|(_, c, n, _)| (*c, *n) != (id, number));
        let mut touched: Vec<String> = channel.consumers.values().cloned().collect();
        for name in channel.consumers.values() {
            if let Some(queue) = self.queue_mut(&vhost, name) {
                queue.consumers.retain(|c| (c.connection, c.channel) != (id, number));
            }
        }
        for unacked in channel.unacked.into_values() {
            if let Some(queue) = self.queue_mut(&vhost, &unacked.queue) {
                queue.put_back(unacked.entry);
                touched.push(unacked.queue);
            }
        }
        touched.sort();
        touched.dedup();
        for name in touched {
            self.remove_if_deserted(&vhost, &name);
            self.pump(&vhost, &name, now);
        }
    }

    fn queue_mut(&mut self, vhost: &str, name: &str) -> Option<&mut Queue> {
        self.vhosts.get_mut(vhost)?.queues.get_mut(name)
    }

    /// A queue that this connection may use.
    fn queue(&mut self, id: ConnectionId, vhost: &str, name: &str) -> Result<&mut Queue, Fault> {
        match self.queue_mut(vhost, name) {
            None => Err(Fault::not_found("queue", name, vhost)),
            Some(queue) if queue.owner.is_some_and(|owner| owner != id) => Err(Fault::locked(name, vhost)),
            Some(queue) => Ok(queue),
        }
    }

    /// The queue that is meant: the last one declared on the channel where none is named.
    fn meant(&mut self, id: ConnectionId, number: u16, name: &str) -> Result<String, Fault> {
        match name {
            "" => Ok(self.channel(id, number)?.last_queue.clone()),
            name => Ok(name.to_owned()),
        }
    }

    fn remove_queue(&mut self, vhost: &str, name: &str) {
        let Some(host) = self.vhosts.get_mut(vhost) else { return };
        let Some(queue) = host.queues.remove(name) else { return };
        host.exchanges.values_mut().for_each(|e| e.bindings.retain(|(queue, _)| queue != name));
        if queue.durable {
            self.changes.push(Change::NoQueue { vhost: vhost.into(), name: name.into() });
        }
        for consumer in queue.consumers {
            if let Ok(channel) = self.channel(consumer.connection, consumer.channel) {
                channel.consumers.remove(&consumer.tag);
            }
            let cancel = basic::Cancel { consumer_tag: consumer.tag.as_str().into(), nowait: true };
            self.send(
                consumer.connection,
                consumer.channel,
                AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)),
            );
        }
    }

    fn remove_if_deserted(&mut self, vhost: &str, name: &str) {
        if self.queue_mut(vhost, name).is_some_and(|q| q.auto_delete && q.consumers.is_empty()) {
            self.remove_queue(vhost, name);
        }
    }

    fn queue_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: queue::AMQPMethod,
        now: Moment,
    ) -> Done {
        let reply = |method| AMQPClass::Queue(method);
        match method {
            queue::AMQPMethod::Declare(declare) => self.declare(id, number, vhost, &declare),
            queue::AMQPMethod::Bind(bind) => {
                let name = self.meant(id, number, bind.queue.as_str())?;
                self.bind(id, vhost, &name, bind.exchange.as_str(), bind.routing_key.as_str())?;
                let ok = reply(queue::AMQPMethod::BindOk(queue::BindOk {}));
                if bind.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            queue::AMQPMethod::Unbind(unbind) => {
                let name = self.meant(id, number, unbind.queue.as_str())?;
                let (source, key) = (unbind.exchange.as_str(), unbind.routing_key.as_str());
                let exchange = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(source));
                exchange
                    .into_iter()
                    .for_each(|e| e.bindings.retain(|(q, k)| (q.as_str(), k.as_str()) != (&name, key)));
                let (vhost, exchange, key) = (vhost.into(), source.into(), key.into());
                self.changes.push(Change::Unbind { vhost, exchange, queue: name, key });
                self.answer(id, number, reply(queue::AMQPMethod::UnbindOk(queue::UnbindOk {})))
            }
            queue::AMQPMethod::Purge(purge) => {
                let name = self.meant(id, number, purge.queue.as_str())?;
                let queue = self.queue(id, vhost, &name)?;
                let (gone, durable): (Vec<_>, _) = (queue.ready.drain(..).collect(), queue.durable);
                let message_count = gone.len() as u32;
                if durable {
                    self.changes.extend(gone.iter().map(|entry| Change::Gone(entry.id)));
                }
                let ok = reply(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count }));
                if purge.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            queue::AMQPMethod::Delete(delete) => {
                let name = self.meant(id, number, delete.queue.as_str())?;
                let message_count = match self.queue(id, vhost, &name) {
                    Ok(queue) if delete.if_unused && !queue.consumers.is_empty() => {
                        return Err(Fault::precondition(&format!(
                            "queue '{name}' in vhost '{vhost}' in use"
                        )));
                    }
                    Ok(queue) if delete.if_empty && !queue.ready.is_empty() => {
                        return Err(Fault::precondition(&format!(
                            "queue '{name}' in vhost '{vhost}' is not empty"
                        )));
                    }
                    Ok(queue) => queue.ready.len() as u32,
                    Err(fault) if fault.code == 404 => 0,
                    Err(fault) => return Err(fault),
                };
                self.remove_queue(vhost, &name);
                let ok = reply(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count }));
                if delete.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            _ => Err(Fault::invalid("not a method for a broker")),
        }
        .map(|()| self.pump_last(id, number, vhost, now))
    }

    fn pump_last(&mut self, id: ConnectionId, number: u16, vhost: &str, now: Moment) {
        if let Ok(channel) = self.channel(id, number) {
            let name = channel.last_queue.clone();
            self.pump(vhost, &name, now);
        }
    }

    fn declare(&mut self, id: ConnectionId, number: u16, vhost: &str, declare: &queue::Declare) -> Done {
        let name = match declare.queue.as_str() {
            "" if declare.passive => self.meant(id, number, "")?,
            "" => {
                self.last_name += 1;
                format!("amq.gen-{id}-{}", self.last_name)
            }
            name => name.to_owned(),
        };
        let known = self.vhosts.get(vhost).is_some_and(|v| v.queues.contains_key(&name));
        if known {
            let queue = self.queue(id, vhost, &name)?;
            let asked = [
                ("durable", declare.durable, queue.durable),
                ("auto_delete", declare.auto_delete, queue.auto_delete),
                ("exclusive", declare.exclusive, queue.owner.is_some()),
            ];
            if let Some((what, asked, is)) =
                asked.iter().find(|(_, asked, is)| asked != is).filter(|_| !declare.passive)
            {
                return Err(Fault::precondition(&format!(
                    "inequivalent arg '{what}' for queue '{name}' in vhost '{vhost}': received '{asked}' but current is '{is}'"
                )));
            }
        } else if declare.passive {
            return Err(Fault::not_found("queue", &name, vhost));
        } else if declare.queue.as_str().starts_with("amq.") {
            let what = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(Fault::access_refused(&what));
        } else {
            let queue = Queue {
                durable: declare.durable && !declare.exclusive,
                auto_delete: declare.auto_delete,
                owner: declare.exclusive.then_some(id),
                ..Queue::default()
            };
            // An auto-delete queue has nobody to come back to after a restart.
            if queue.durable && !queue.auto_delete {
                self.changes.push(Change::Queue { vhost: vhost.into(), name: name.clone() });
            }
            self.vhosts.entry(vhost.into()).or_default().queues.insert(name.clone(), queue);
        }
        self.channel(id, number)?.last_queue.clone_from(&name);
        let queue = self.queue(id, vhost, &name)?;
        let ok = queue::DeclareOk {
            queue: name.as_str().into(),
            message_count: queue.ready.len() as u32,
            consumer_count: queue.consumers.len() as u32,
        };
        let ok = AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok));
        if declare.nowait { Ok(()) } else { self.answer(id, number, ok) }
    }

    fn bind(&mut self, id: ConnectionId, vhost: &str, name: &str, source: &str, key: &str) -> Done {
        let queue_is_durable = self.queue(id, vhost, name)?.durable;
        if source.is_empty() {
            return Err(Fault::access_refused("operation not permitted on the default exchange"));
        }
        let exchange = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(source));
        let Some(exchange) = exchange else { return Err(Fault::not_found("exchange", source, vhost)) };
        let binding = (name.to_owned(), key.to_owned());
        if !exchange.bindings.contains(&binding) {
            exchange.bindings.push(binding);
            if exchange.durable && queue_is_durable {
                let (vhost, exchange, queue, key) = (vhost.into(), source.into(), name.into(), key.into());
                self.changes.push(Change::Bind { vhost, exchange, queue, key });
            }
        }
        Ok(())
    }

    fn exchange_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: exchange::AMQPMethod,
    ) -> Done {
        match method {
            exchange::AMQPMethod::Declare(declare) => {
                self.declare_exchange(vhost, &declare)?;
                let ok = AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}));
                if declare.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            exchange::AMQPMethod::Delete(delete) => {
                let name = delete.exchange.as_str();
                if name.is_empty() || name.starts_with("amq.") {
                    let what = format!("operation not permitted on the exchange '{name}'");
                    return Err(Fault::access_refused(&what));
                }
                let used = self
                    .vhosts
                    .get(vhost)
                    .and_then(|v| v.exchanges.get(name))
                    .is_some_and(|e| !e.bindings.is_empty());
                if delete.if_unused && used {
                    return Err(Fault::precondition(&format!("exchange '{name}' in vhost '{vhost}' in use")));
                }
                if let Some(host) = self.vhosts.get_mut(vhost) {
                    host.exchanges.remove(name);
                }
                self.changes.push(Change::NoExchange { vhost: vhost.into(), name: name.into() });
                let ok = AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}));
                if delete.nowait { Ok(()) } else { self.answer(id, number, ok) }
            }
            _ => Err(Fault::not_implemented("bindings between exchanges")),
        }
    }

    fn declare_exchange(&mut self, vhost: &str, declare: &exchange::Declare) -> Done {
        let name = declare.exchange.as_str();
        let host = self.vhosts.entry(vhost.into()).or_default();
        match host.exchanges.get(name) {
            _ if name.is_empty() => return Ok(()),
            None if declare.passive => return Err(Fault::not_found("exchange", name, vhost)),
            Some(known) if !declare.passive && known.kind.name() != declare.kind.as_str() => {
                return Err(Fault::precondition(&format!(
                    "inequivalent arg 'type' for exchange '{name}' in vhost '{vhost}': received '{}' but current is '{}'",
                    declare.kind.as_str(),
                    known.kind.name()
                )));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if name.starts_with("amq.") {
            let what = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
            return Err(Fault::access_refused(&what));
        }
        let Some(kind) = Kind::parse(declare.kind.as_str()) else {
            return Err(Fault::invalid(&format!("unknown exchange type '{}'", declare.kind.as_str())));
        };
        host.exchanges.insert(name.into(), Exchange { kind, durable: declare.durable, bindings: vec![] });
        if declare.durable {
            self.changes.push(Change::Exchange { vhost: vhost.into(), name: name.into(), kind: kind.name() });
        }
        Ok(())
    }

    fn basic_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: basic::AMQPMethod,
        now: Moment,
    ) -> Done {
        let reply = |method| AMQPClass::Basic(method);
        match method {
            basic::AMQPMethod::Qos(qos) => {
                self.channel(id, number)?.prefetch = qos.prefetch_count.into();
                self.answer(id, number, reply(basic::AMQPMethod::QosOk(basic::QosOk {})))
            }
            basic::AMQPMethod::Consume(consume) => self.consume(id, number, vhost, &consume, now),
            basic::AMQPMethod::Cancel(cancel) => {
                let tag = cancel.consumer_tag.as_str().to_owned();
                let name = self.channel(id, number)?.consumers.remove(&tag);
                let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag };
                if !cancel.nowait {
                    self.send(id, number, reply(basic::AMQPMethod::CancelOk(ok)));
                }
                if let Some(name) = name {
                    if let Some(queue) = self.queue_mut(vhost, &name) {
                        queue.consumers.retain(|c| (c.connection, c.channel, &c.tag) != (id, number, &tag));
                    }
                    self.remove_if_deserted(vhost, &name);
                }
                Ok(())
            }
            basic::AMQPMethod::Publish(method) => {
                self.channel(id, number)?.publishing =
                    Some(Publishing { method, header: None, body: vec![] });
                Ok(())
            }
            basic::AMQPMethod::Get(get) => self.get(id, number, vhost, &get, now),
            basic::AMQPMethod::Ack(ack) => {
                self.settle(id, number, vhost, (ack.delivery_tag, ack.multiple), None, now)
            }
            basic::AMQPMethod::Nack(nack) => {
                self.settle(id, number, vhost, (nack.delivery_tag, nack.multiple), Some(nack.requeue), now)
            }
            basic::AMQPMethod::Reject(reject) => {
                self.settle(id, number, vhost, (reject.delivery_tag, false), Some(reject.requeue), now)
            }
            basic::AMQPMethod::Recover(_) => {
                if !self.channel(id, number)?.unacked.is_empty() {
                    self.settle(id, number, vhost, (0, true), Some(true), now)?;
                }
                self.answer(id, number, reply(basic::AMQPMethod::RecoverOk(basic::RecoverOk {})))
            }
            _ => Err(Fault::invalid("not a method for a broker")),
        }
    }

    fn consume(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        consume: &basic::Consume,
        now: Moment,
    ) -> Done {
        let name = self.meant(id, number, consume.queue.as_str())?;
        let queue = self.queue(id, vhost, &name)?;
        if queue.consumers.iter().any(|c| c.exclusive) || (consume.exclusive && !queue.consumers.is_empty()) {
            let what = format!("queue '{name}' in vhost '{vhost}' in exclusive use");
            return Err(Fault::access_refused(&what));
        }
        self.last_name += 1;
        let tag = match consume.consumer_tag.as_str() {
            "" => format!("amq.ctag-{id}-{}", self.last_name),
            tag => tag.to_owned(),
        };
        let channel = self.channel(id, number)?;
        if channel.consumers.insert(tag.clone(), name.clone()).is_some() {
            return Err(Fault {
                code: 530,
                text: format!("NOT_ALLOWED - attempt to reuse consumer tag '{tag}'"),
            });
        }
        let prefetch = channel.prefetch;
        let consumer = Consumer {
            connection: id,
            channel: number,
            tag: tag.clone(),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch,
            outstanding: 0,
        };
        self.queue(id, vhost, &name)?.consumers.push_back(consumer);
        if !consume.nowait {
            let ok = basic::ConsumeOk { consumer_tag: tag.as_str().into() };
            self.send(id, number, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)));
        }
        self.pump(vhost, &name, now);
        Ok(())
    }

    fn get(&mut self, id: ConnectionId, number: u16, vhost: &str, get: &basic::Get, now: Moment) -> Done {
        let name = self.meant(id, number, get.queue.as_str())?;
        let mut expired = vec![];
        let queue = self.queue(id, vhost, &name)?;
        let (taken, durable, left) = (queue.take(now, &mut expired), queue.durable, queue.ready.len() as u32);
        self.drop_entries(durable, &expired);
        let Some(entry) = taken else {
            let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
            return self.answer(id, number, AMQPClass::Basic(empty));
        };
        let channel = self.channel(id, number)?;
        channel.last_tag += 1;
        let ok = basic::GetOk {
            delivery_tag: channel.last_tag,
            redelivered: entry.redelivered,
            exchange: entry.message.exchange.as_str().into(),
            routing_key: entry.message.key.as_str().into(),
            message_count: left,
        };
        let message = Arc::clone(&entry.message);
        if get.no_ack {
            self.drop_entries(durable, &[entry]);
        } else {
            let tag = channel.last_tag;
            channel.unacked.insert(tag, Unacked { queue: name, consumer: None, entry });
        }
        self.out.push((id, Send::Content(number, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok)), message)));
        Ok(())
    }

    fn drop_entries(&mut self, durable: bool, entries: &[Entry]) {
        if durable {
            self.changes.extend(entries.iter().map(|entry| Change::Gone(entry.id)));
        }
    }

    /// Acknowledged (`None`), or given back to be delivered again (`Some(true)`) or thrown away.
    fn settle(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        (tag, multiple): (u64, bool),
        requeue: Option<bool>,
        now: Moment,
    ) -> Done {
        let channel = self.channel(id, number)?;
        let tags: Vec<u64> = match (tag, multiple) {
            (0, true) => channel.unacked.keys().copied().collect(),
            (tag, true) => channel.unacked.range(..=tag).map(|(tag, _)| *tag).collect(),
            (tag, false) => channel.unacked.contains_key(&tag).then_some(tag).into_iter().collect(),
        };
        if tags.is_empty() && (tag, multiple) != (0, true) {
            return Err(Fault::precondition(&format!("unknown delivery tag {tag}")));
        }
        let settled: Vec<_> = tags.iter().filter_map(|tag| channel.unacked.remove(tag)).collect();
        let mut touched = vec![];
        for Unacked { queue: name, consumer, entry } in settled {
            let Some(queue) = self.queue_mut(vhost, &name) else { continue };
            if let Some(tag) = &consumer {
                queue.settled(id, number, tag);
            }
            let durable = queue.durable;
            if requeue == Some(true) {
                queue.put_back(entry);
            } else {
                self.drop_entries(durable, &[entry]);
            }
            if !touched.contains(&name) {
                touched.push(name);
            }
        }
        touched.iter().for_each(|name| self.pump(vhost, name, now));
        Ok(())
    }

    /// Publishes what is complete.
    fn complete(&mut self, id: ConnectionId, number: u16, now: Moment) -> Done {
        let channel = self.channel(id, number)?;
        let whole = |p: &Publishing| p.header.as_ref().is_some_and(|(_, size)| p.body.len() as u64 >= *size);
        if !channel.publishing.as_ref().is_some_and(whole) {
            return Ok(());
        }
        let Some(Publishing { method, header: Some((header, _)), body }) = channel.publishing.take() else {
            return Ok(());
        };
        let confirm = channel.confirms.as_mut().map(|tag| {
            *tag += 1;
            *tag
        });
        let vhost = self.connections.get(&id).map(|c| c.vhost.clone()).unwrap_or_default();
        let (source, key) = (method.exchange.as_str(), method.routing_key.as_str());
        let Some(host) = self.vhosts.get(&vhost) else { return Ok(()) };
        let names = match (source, host.exchanges.get(source)) {
            ("", _) if host.queues.contains_key(key) => vec![key.to_owned()],
            ("", _) => vec![],
            (_, Some(exchange)) => exchange.route(key),
            (_, None) => return Err(Fault::not_found("exchange", source, &vhost)),
        };
        let expires = expiration(&header).map(|ttl| now + ttl);
        let message = Arc::new(Message { exchange: source.into(), key: key.into(), header, body });
        if names.is_empty() && method.mandatory {
            let back = basic::Return {
                reply_code: 312,
                reply_text: "NO_ROUTE".into(),
                exchange: method.exchange.clone(),
                routing_key: method.routing_key.clone(),
            };
            let back = AMQPClass::Basic(basic::AMQPMethod::Return(back));
            self.out.push((id, Send::Content(number, back, Arc::clone(&message))));
        }
        let mut on_disk = false;
        for name in &names {
            self.last_id += 1;
            let entry =
                Entry { id: self.last_id, message: Arc::clone(&message), redelivered: false, expires };
            let Some(queue) = self.queue_mut(&vhost, name) else { continue };
            let stored = queue.durable && !queue.auto_delete;
            queue.ready.push_back(entry);
            if stored {
                on_disk = true;
                let (id, vhost, queue, message) =
                    (self.last_id, vhost.clone(), name.clone(), Arc::clone(&message));
                self.changes.push(Change::Put { id, vhost, queue, message });
            }
            self.pump(&vhost, name, now);
        }
        if let Some(tag) = confirm {
            if on_disk {
                self.unconfirmed.push_back((self.batch + 1, id, number, tag));
            } else {
                self.confirm(id, number, tag);
            }
        }
        Ok(())
    }

    fn confirm(&mut self, id: ConnectionId, number: u16, delivery_tag: u64) {
        let ack = basic::Ack { delivery_tag, multiple: false };
        self.send(id, number, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    }

    /// Delivers what can be delivered.
    fn pump(&mut self, vhost: &str, name: &str, now: Moment) {
        let mut expired = vec![];
        let mut durable = false;
        while let Some(queue) = self.queue_mut(vhost, name) {
            durable = queue.durable;
            let Some((entry, consumer)) = queue.next(now, &mut expired) else { break };
            let (id, number) = (consumer.connection, consumer.channel);
            let Ok(channel) = self.channel(id, number) else { break };
            channel.last_tag += 1;
            let deliver = basic::Deliver {
                consumer_tag: consumer.tag.as_str().into(),
                delivery_tag: channel.last_tag,
                redelivered: entry.redelivered,
                exchange: entry.message.exchange.as_str().into(),
                routing_key: entry.message.key.as_str().into(),
            };
            let message = Arc::clone(&entry.message);
            if consumer.no_ack {
                self.drop_entries(durable, &[entry]);
            } else {
                let tag = channel.last_tag;
                channel
                    .unacked
                    .insert(tag, Unacked { queue: name.into(), consumer: Some(consumer.tag), entry });
            }
            let deliver = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
            self.out.push((id, Send::Content(number, deliver, message)));
        }
        self.drop_entries(durable, &expired);
    }
}

/// The message's own time to live, which its header gives in milliseconds.
fn expiration(header: &[u8]) -> Option<Duration> {
    const EXPIRATION: u16 = 1 << 8;
    let flags = u16::from_be_bytes(*header.get(12..)?.first_chunk()?);
    if flags & EXPIRATION == 0 {
        return None;
    }
    let mut frame = vec![2, 0, 0];
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(header);
    frame.push(0xce);
    match parse_frame(frame.as_slice()) {
        Ok((_, AMQPFrame::Header(_, header))) => {
            let text = header.properties.expiration().as_ref()?.as_str().to_owned();
            text.parse().ok().map(Duration::from_millis)
        }
        _ => None,
    }
}
