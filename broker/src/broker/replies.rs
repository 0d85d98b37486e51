//! Direct reply-to: a channel that consumes `amq.rabbitmq.reply-to` gets the answers to what it asks without a queue.
//! RabbitMQ's own way of asking, which some clients take where they are not told otherwise.

use super::{Broker, Done, Send};
use crate::fault::Fault;
use crate::message::{self, Message};
use crate::queue::ConnectionId;
use amq_protocol::protocol::{AMQPClass, basic, queue};
use std::sync::Arc;

/// What is consumed, and what a question names as the place for its answer.
pub(super) const REPLY_TO: &str = message::DIRECT_REPLY_TO;

/// A consumer of answers.
pub(super) struct Replies {
    tag: String,
    /// The name that questions of this channel go out with.
    name: String,
}

impl Broker {
    pub(super) fn consume_replies(
        &mut self,
        id: ConnectionId,
        number: u16,
        consume: &basic::Consume,
    ) -> Done {
        let tag = self.consumer_tag(consume.consumer_tag.as_str());
        let name = self.names.next(&format!("{REPLY_TO}.{id}.{number}."));
        let channel = self.channel(id, number)?;
        if channel.consumers.contains_key(&tag) {
            return Err(Fault::not_allowed(&format!("attempt to reuse consumer tag '{tag}'")));
        }
        if channel.replies.is_some() {
            return Err(Fault::precondition("reply consumer already set"));
        }
        if !consume.no_ack {
            return Err(Fault::precondition("reply consumer cannot acknowledge"));
        }
        channel.replies = Some(Replies { tag: tag.clone(), name });
        let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag: tag.into() });
        self.answer_unless(consume.nowait, id, number, AMQPClass::Basic(ok))
    }

    /// The consumer of this tag is cancelled.
    pub(super) fn cancel_replies(&mut self, id: ConnectionId, number: u16, tag: &str) {
        if let Ok(channel) = self.channel(id, number) {
            channel.replies.take_if(|replies| replies.tag == tag);
        }
    }

    /// Whether somebody waits there is asked by declaring it.
    pub(super) fn declare_replies(&mut self, id: ConnectionId, number: u16, vhost: &str, name: &str) -> Done {
        if name != REPLY_TO && self.waiting_for(vhost, name).is_none() {
            return Err(Fault::not_found("queue", name, vhost));
        }
        let ok = queue::DeclareOk { queue: name.into(), message_count: 0, consumer_count: 1 };
        self.answer(id, number, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)))
    }

    /// The header of a question, with the name of the channel that asks.
    pub(super) fn with_own_name(
        &mut self,
        id: ConnectionId,
        number: u16,
        header: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let Some(replies) = &self.channel(id, number)?.replies else {
            return Err(Fault::precondition("fast reply consumer does not exist"));
        };
        Ok(message::with_properties(header, |properties| {
            properties.with_reply_to(replies.name.as_str().into())
        }))
    }

    /// Hands an answer to the channel that waits for it; to none where it does so no more.
    pub(super) fn answer_directly(&mut self, vhost: &str, message: &Arc<Message>) {
        let Some((id, number)) = self.waiting_for(vhost, &message.key) else { return };
        let Ok(channel) = self.channel(id, number) else { return };
        let Some(replies) = &channel.replies else { return };
        let deliver = basic::Deliver {
            consumer_tag: replies.tag.as_str().into(),
            delivery_tag: channel.last_tag + 1, // which nobody acknowledges: the next one is the same
            redelivered: false,
            exchange: "".into(),
            routing_key: message.key.as_str().into(),
        };
        let deliver = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
        self.hand_out(id, Send::Content(number, deliver, Arc::clone(message)));
    }

    fn waiting_for(&self, vhost: &str, name: &str) -> Option<(ConnectionId, u16)> {
        let mut place = name.strip_prefix(REPLY_TO)?.strip_prefix('.')?.split('.');
        let (id, number) = (place.next()?.parse().ok()?, place.next()?.parse().ok()?);
        let connection = self.connections.get(&id).filter(|connection| connection.vhost == vhost)?;
        let replies = connection.channels.get(&number)?.replies.as_ref()?;
        (replies.name == name).then_some((id, number))
    }
}
