//! A channel: opened, asked to wait, closed; what was not acknowledged on it goes back to its queues.

use super::{Broker, Done};
use crate::fault::Fault;
use crate::queue::{ConnectionId, Consumer, Entry, Moment};
use amq_protocol::protocol::{AMQPClass, basic, channel};
use std::collections::{BTreeMap, HashMap};

/// A channel.
#[derive(Default)]
pub(super) struct Channel {
    /// Deliveries that a consumer started now may have outstanding; 0 = any number.
    pub prefetch: u32,
    /// Deliveries that all consumers of the channel may have outstanding; 0 = any number.
    pub prefetch_of_all: u32,
    /// The number of the last confirmed publish, on a channel that asked for confirms.
    pub confirms: Option<u64>,
    pub last_tag: u64,
    pub unacked: BTreeMap<u64, Unacked>,
    /// Queue of each consumer tag.
    pub consumers: HashMap<String, String>,
    /// The queue that an empty name means.
    pub last_queue: String,
    pub publishing: Option<Publishing>,
    /// It waits for answers without a queue.
    pub replies: Option<super::replies::Replies>,
    /// We closed it and wait for the peer's answer.
    pub closing: bool,
}

/// A delivery that was not acknowledged yet.
pub(super) struct Unacked {
    pub queue: String,
    /// The tag of its consumer; `None` = it was asked for by `get`.
    pub consumer: Option<String>,
    pub entry: Entry,
}

/// A message of which not all frames are here.
pub(super) struct Publishing {
    pub method: basic::Publish,
    pub header: Option<(Vec<u8>, crate::message::Heeded)>,
    pub body: Vec<u8>,
}

impl Channel {
    /// Whether the limit for all consumers of the channel leaves room.
    pub fn may_take(&self, consumer: &Consumer) -> bool {
        consumer.no_ack || self.prefetch_of_all == 0 || self.unacked.len() < self.prefetch_of_all as usize
    }
}

impl Broker {
    pub(super) fn channel(&mut self, id: ConnectionId, number: u16) -> Result<&mut Channel, Fault> {
        let channels = self.connections.get_mut(&id).map(|connection| &mut connection.channels);
        channels
            .and_then(|channels| channels.get_mut(&number))
            .ok_or_else(|| Fault::channel("expected 'channel.open'"))
    }

    /// Class and method of what a frame has interrupted that was not expected.
    pub fn interrupted(&mut self, id: ConnectionId, number: u16) -> (u16, u16) {
        match self.channel(id, number) {
            Ok(Channel { publishing: Some(_), .. }) => (60, 40),
            _ => (0, 0),
        }
    }

    /// Deals with what only opens, closes or must not interrupt a channel. True = that was all.
    pub(super) fn concerns_channel_only(
        &mut self,
        id: ConnectionId,
        number: u16,
        class: &AMQPClass,
    ) -> Result<bool, Fault> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(true) };
        match (connection.channels.get(&number), class) {
            (None, AMQPClass::Channel(channel::AMQPMethod::Open(_)))
                if connection.channels.len() >= usize::from(connection.channel_max) =>
            {
                let most = connection.channel_max;
                Err(Fault::not_allowed(&format!(
                    "number of channels opened ({most}) has reached the negotiated channel_max ({most})"
                )))
            }
            (None, AMQPClass::Channel(channel::AMQPMethod::Open(_))) => {
                connection.channels.insert(number, Channel::default());
                let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
                self.send(id, number, AMQPClass::Channel(ok));
                Ok(true)
            }
            // A peer that closes a channel we have just closed is answered; anything else on it is late.
            (None, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) => Ok(true),
            (None, _) => Err(Fault::channel("expected 'channel.open'")),
            (Some(c), AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) if c.closing => {
                connection.channels.remove(&number);
                Ok(true)
            }
            // Both sides closed it at once: the peer still waits for an answer.
            (Some(c), AMQPClass::Channel(channel::AMQPMethod::Close(_))) if c.closing => {
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.send(id, number, AMQPClass::Channel(ok));
                Ok(true)
            }
            (Some(c), AMQPClass::Channel(channel::AMQPMethod::Open(_))) if c.closing => Ok(false),
            (Some(c), _) if c.closing => Ok(true),
            (Some(c), _) if c.publishing.is_some() => Err(Fault::unexpected(
                "expected content header for class 60, got non content header frame instead",
            )),
            _ => Ok(false),
        }
    }

    pub(super) fn channel_method(
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
            channel::AMQPMethod::Flow(flow) if !flow.active => Err(Fault::not_implemented("active=false")),
            channel::AMQPMethod::Flow(_) => {
                let ok = channel::FlowOk { active: true };
                self.answer(id, number, AMQPClass::Channel(channel::AMQPMethod::FlowOk(ok)))
            }
            _ => Ok(()),
        }
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
            reply_text: fault.short_text().into(),
            class_id: ids.0,
            method_id: ids.1,
        };
        self.send(id, number, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    /// Consumers go, and what was not acknowledged goes back.
    pub(super) fn close_channel(&mut self, id: ConnectionId, number: u16, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let vhost = connection.vhost.clone();
        let Some(channel) = connection.channels.remove(&number) else { return };
        self.unconfirmed.retain(|(_, c, n, _)| (*c, *n) != (id, number));
        let mut touched: Vec<String> = channel.consumers.values().cloned().collect();
        for name in channel.consumers.values() {
            if let Some(queue) = self.queue_mut(&vhost, name) {
                queue.consumers.retain(|c| (c.connection, c.channel) != (id, number));
                queue.idle_since = now;
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
}
