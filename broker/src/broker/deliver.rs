//! Delivering: to consumers, as many as they may have outstanding and as fast as their connections take it; and
//! one at a time to who asks for one.

use super::channel::Unacked;
use super::replies::REPLY_TO;
use super::{Broker, Done, Send};
use crate::fault::Fault;
use crate::message::Message;
use crate::queue::{ConnectionId, Consumer, Content, Entry, Moment};
use amq_protocol::protocol::{AMQPClass, basic};
use std::sync::Arc;

/// A connection with this many bytes handed out and not sent gets no more deliveries.
const UNSENT: usize = 1 << 20;

impl Broker {
    pub(super) fn qos(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        qos: &basic::Qos,
        now: Moment,
    ) -> Done {
        let channel = self.channel(id, number)?;
        let limit = qos.prefetch_count.into();
        match qos.global {
            true => channel.prefetch_of_all = limit,
            false => channel.prefetch = limit,
        }
        let queues: Vec<_> = channel.consumers.values().cloned().collect();
        self.answer(id, number, AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})))?;
        queues.iter().for_each(|name| self.pump(vhost, name, now));
        Ok(())
    }

    pub(super) fn consume(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        consume: &basic::Consume,
        now: Moment,
    ) -> Done {
        if consume.queue.as_str() == REPLY_TO {
            return self.consume_replies(id, number, consume);
        }
        let name = self.meant(id, number, consume.queue.as_str())?;
        let queue = self.queue(id, vhost, &name)?;
        let taken =
            queue.consumers.iter().any(|c| c.exclusive) || (consume.exclusive && !queue.consumers.is_empty());
        let tag = self.consumer_tag(consume.consumer_tag.as_str());
        let channel = self.channel(id, number)?;
        if channel.consumers.contains_key(&tag) {
            return Err(Fault::not_allowed(&format!("attempt to reuse consumer tag '{tag}'")));
        }
        if taken {
            return Err(Fault::access_refused(&format!(
                "queue '{name}' in vhost '{vhost}' in exclusive use"
            )));
        }
        channel.consumers.insert(tag.clone(), name.clone());
        let consumer = Consumer {
            connection: id,
            channel: number,
            tag: tag.clone(),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: channel.prefetch,
            outstanding: 0,
        };
        let queue = self.queue(id, vhost, &name)?;
        queue.consumers.push_back(consumer);
        queue.was_consumed = true;
        let ok = basic::ConsumeOk { consumer_tag: tag.as_str().into() };
        let ok = AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok));
        self.answer_unless(consume.nowait, id, number, ok)?;
        self.pump(vhost, &name, now);
        Ok(())
    }

    /// The tag that was asked for, or a new one.
    pub(super) fn consumer_tag(&mut self, asked: &str) -> String {
        if asked.is_empty() { self.names.next("amq.ctag-") } else { asked.to_owned() }
    }

    pub(super) fn cancel(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        cancel: basic::Cancel,
        now: Moment,
    ) -> Done {
        let tag = cancel.consumer_tag.as_str().to_owned();
        let name = self.channel(id, number)?.consumers.remove(&tag);
        self.cancel_replies(id, number, &tag);
        let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag };
        self.answer_unless(cancel.nowait, id, number, AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)))?;
        if let Some(name) = name {
            if let Some(queue) = self.queue_mut(vhost, &name) {
                queue.consumers.retain(|c| (c.connection, c.channel, &c.tag) != (id, number, &tag));
                queue.idle_since = now;
            }
            self.remove_if_deserted(vhost, &name);
        }
        Ok(())
    }

    pub(super) fn get(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        get: &basic::Get,
        now: Moment,
    ) -> Done {
        let name = self.meant(id, number, get.queue.as_str())?;
        let mut expired = vec![];
        let queue = self.queue(id, vhost, &name)?;
        queue.idle_since = now;
        let (taken, left) = (queue.take(now, &mut expired), queue.ready.len() as u32);
        self.expired(vhost, &name, expired, now);
        let read = taken.and_then(|entry| self.read(vhost, &name, entry));
        let Some((entry, message)) = read else {
            let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
            return self.answer(id, number, AMQPClass::Basic(empty));
        };
        let channel = self.channel(id, number)?;
        channel.last_tag += 1;
        let ok = basic::GetOk {
            delivery_tag: channel.last_tag,
            redelivered: entry.redelivered,
            exchange: message.exchange.as_str().into(),
            routing_key: message.key.as_str().into(),
            message_count: left,
        };
        self.hand_over(id, number, entry, (!get.no_ack).then_some((name, None)));
        self.hand_out(id, Send::Content(number, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok)), message));
        Ok(())
    }

    /// Delivers what can be delivered.
    pub(super) fn pump(&mut self, vhost: &str, name: &str, now: Moment) {
        let mut expired = vec![];
        loop {
            let Self { vhosts, connections, .. } = self;
            let Some(queue) = vhosts.get_mut(vhost).and_then(|v| v.queues.get_mut(name)) else { break };
            let may_take = |consumer: &Consumer| {
                connections.get(&consumer.connection).is_some_and(|connection| {
                    let channel = connection.channels.get(&consumer.channel);
                    connection.unsent < UNSENT && channel.is_some_and(|channel| channel.may_take(consumer))
                })
            };
            let Some((entry, consumer)) = queue.next(now, may_take, &mut expired) else { break };
            let (id, number) = (consumer.connection, consumer.channel);
            let Some((entry, message)) = self.read(vhost, name, entry) else { break };
            let Ok(channel) = self.channel(id, number) else { break };
            channel.last_tag += 1;
            let deliver = basic::Deliver {
                consumer_tag: consumer.tag.as_str().into(),
                delivery_tag: channel.last_tag,
                redelivered: entry.redelivered,
                exchange: message.exchange.as_str().into(),
                routing_key: message.key.as_str().into(),
            };
            self.hand_over(
                id,
                number,
                entry,
                (!consumer.no_ack).then_some((name.into(), Some(consumer.tag))),
            );
            let deliver = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
            self.hand_out(id, Send::Content(number, deliver, message));
        }
        self.expired(vhost, name, expired, now);
    }

    /// The content of a message, from disk where it is only there. A message that cannot be read goes back to its
    /// place; one that is not there is gone, which should not be.
    pub(super) fn read(&mut self, vhost: &str, name: &str, entry: Entry) -> Option<(Entry, Arc<Message>)> {
        let message = match &entry.content {
            Content::Here(message) => Ok(Some(Arc::clone(message))),
            Content::Stored => self.shelf.fetch(entry.id).map(|found| found.map(Arc::new)),
        };
        let lost = match message {
            Ok(Some(message)) => return Some((entry, message)),
            Ok(None) => "it is not there".to_owned(),
            Err(trouble) => {
                if let Some(queue) = self.queue_mut(vhost, name) {
                    queue.ready.push_front(entry);
                }
                format!("{trouble} (it stays in the queue)")
            }
        };
        self.troubles.push(format!("cannot read a message of queue {name}: {lost}"));
        None
    }

    /// Who got a message owes an acknowledgement (to a queue, as a consumer), or owes none.
    fn hand_over(
        &mut self,
        id: ConnectionId,
        number: u16,
        entry: Entry,
        owed: Option<(String, Option<String>)>,
    ) {
        match owed {
            None => self.drop_entries(&[entry]),
            Some((queue, consumer)) => {
                if let Ok(channel) = self.channel(id, number) {
                    let tag = channel.last_tag;
                    channel.unacked.insert(tag, Unacked { queue, consumer, entry });
                    self.consider_leaving_in_hand(id, number, tag);
                }
            }
        }
    }

    pub(super) fn hand_out(&mut self, id: ConnectionId, send: Send) {
        if let (Some(connection), Send::Content(_, _, message)) = (self.connections.get_mut(&id), &send) {
            connection.unsent += message.size();
        }
        self.out.push((id, send));
    }

    /// Bytes that were handed out for a connection and are not sent yet.
    pub fn unsent(&self, id: ConnectionId) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.unsent)
    }

    /// All that was handed out for a connection is sent: its consumers may have more.
    pub fn sent(&mut self, id: ConnectionId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let held_up = std::mem::take(&mut connection.unsent) >= UNSENT;
        if held_up {
            let vhost = connection.vhost.clone();
            let consumed = connection.channels.values().flat_map(|channel| channel.consumers.values());
            let queues: std::collections::BTreeSet<String> = consumed.cloned().collect();
            queues.iter().for_each(|name| self.pump(&vhost, name, now));
        }
    }
}
