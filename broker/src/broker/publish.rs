//! Publishing: frames become a message, which goes to its queues, comes back or is confirmed.

use super::channel::Publishing;
use super::{Broker, Done, Send};
use crate::exchange::Kind;
use crate::fault::Fault;
use crate::message::{self, Heeded, Message, Ttl};
use crate::queue::{ConnectionId, Content, Entry, Moment};
use crate::store::Change;
use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::FieldTable;
use std::sync::Arc;
use std::time::Duration;

/// The largest message, as RabbitMQ has it.
const MAX_BODY: u64 = 128 << 20;

impl Broker {
    /// A publish begins.
    pub(super) fn begin(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: basic::Publish,
    ) -> Done {
        if method.immediate {
            return Err(Fault::not_implemented("immediate=true"));
        }
        let source = method.exchange.as_str();
        let known =
            source.is_empty() || self.vhosts.get(vhost).is_some_and(|v| v.exchanges.contains_key(source));
        if !known {
            return Err(Fault::not_found("exchange", source, vhost));
        }
        self.channel(id, number)?.publishing = Some(Publishing { method, header: None, body: vec![] });
        self.is_a_publisher(id);
        Ok(())
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
        match &mut channel.publishing {
            Some(publishing) if publishing.header.is_none() => {
                let heeded =
                    message::heed(payload).ok_or_else(|| Fault::frame("cannot decode a content header"))?;
                if heeded.size > MAX_BODY {
                    let size = heeded.size;
                    return Err(Fault::precondition(&format!(
                        "message size {size} is larger than configured max size {MAX_BODY}"
                    )));
                }
                publishing.header = Some((payload.to_vec(), heeded));
            }
            _ => return Err(Fault::unexpected("expected method frame, got non method frame instead")),
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
            Some(Publishing { header: Some((_, heeded)), body, .. }) => {
                body.extend_from_slice(payload);
                if body.len() as u64 > heeded.size {
                    return Err(Fault::frame("the body is larger than its header says"));
                }
            }
            _ => return Err(Fault::unexpected("expected method frame, got non method frame instead")),
        }
        self.complete(id, number, now)
    }

    /// Publishes what is complete.
    fn complete(&mut self, id: ConnectionId, number: u16, now: Moment) -> Done {
        let channel = self.channel(id, number)?;
        let whole = |p: &Publishing| p.header.as_ref().is_some_and(|(_, h)| p.body.len() as u64 == h.size);
        if !channel.publishing.as_ref().is_some_and(whole) {
            return Ok(());
        }
        let Some(Publishing { method, header: Some((header, heeded)), body }) = channel.publishing.take()
        else {
            return Ok(());
        };
        if let Some(from) = heeded.user_id.as_ref().filter(|from| **from != self.user) {
            let user = &self.user;
            return Err(Fault::precondition(&format!(
                "user_id property set to '{from}' but authenticated user was '{user}'"
            )));
        }
        if let Some(Ttl::Nonsense(text)) = &heeded.ttl {
            let why = if text.parse::<i64>().is_ok() {
                format!("{{value_negative,{text}}}")
            } else {
                "no_integer".into()
            };
            return Err(Fault::precondition(&format!("invalid expiration '{text}': {why}")));
        }
        let header = match heeded.asks_for_a_reply {
            true => self.with_own_name(id, number, &header)?,
            false => header,
        };
        let vhost = self.connections.get(&id).map(|c| c.vhost.clone()).unwrap_or_default();
        let names = self.route(&vhost, method.exchange.as_str(), method.routing_key.as_str(), &header)?;
        let confirm = self.channel(id, number)?.confirms.as_mut().map(|tag| {
            *tag += 1;
            *tag
        });
        let (source, key) = (method.exchange.as_str().into(), method.routing_key.as_str().into());
        let message = Arc::new(Message::new(source, key, header, body, &self.weight));
        if names.is_empty() && message.exchange.is_empty() {
            self.answer_directly(&vhost, &message);
        }
        if names.is_empty() && method.mandatory {
            self.give_back(id, number, &method, &message);
        }
        let on_disk = self.enqueue(&vhost, &names, &message, &heeded, now);
        match confirm {
            Some(tag) if on_disk => self.unconfirmed.push_back((self.batch + 1, id, number, tag)),
            Some(tag) => self.confirm(id, number, tag),
            None => {}
        }
        Ok(())
    }

    pub(super) fn route(
        &self,
        vhost: &str,
        source: &str,
        key: &str,
        header: &[u8],
    ) -> Result<Vec<String>, Fault> {
        let Some(host) = self.vhosts.get(vhost) else { return Ok(vec![]) };
        match (source, host.exchanges.get(source)) {
            ("", _) if host.queues.contains_key(key) => Ok(vec![key.to_owned()]),
            ("", _) => Ok(vec![]),
            (_, Some(exchange)) if exchange.kind == Kind::Headers => {
                Ok(exchange.route(key, &message::headers(header)))
            }
            (_, Some(exchange)) => Ok(exchange.route(key, &FieldTable::default())),
            (_, None) => Err(Fault::not_found("exchange", source, vhost)),
        }
    }

    fn give_back(&mut self, id: ConnectionId, number: u16, method: &basic::Publish, message: &Arc<Message>) {
        let back = basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: method.exchange.clone(),
            routing_key: method.routing_key.clone(),
        };
        let back = AMQPClass::Basic(basic::AMQPMethod::Return(back));
        self.hand_out(id, Send::Content(number, back, Arc::clone(message)));
    }

    /// Puts a message into its queues. True = a copy of it goes to disk.
    pub(super) fn enqueue(
        &mut self,
        vhost: &str,
        names: &[String],
        message: &Arc<Message>,
        heeded: &Heeded,
        now: Moment,
    ) -> bool {
        let mut on_disk = false;
        for name in names {
            self.last_id += 1;
            let (id, next_batch) = (self.last_id, self.batch + 1);
            let Some(queue) = self.queue_mut(vhost, name) else { continue };
            let stored = queue.is_stored();
            let own = match &heeded.ttl {
                Some(Ttl::For(time)) => Some(*time),
                Some(Ttl::Nonsense(_)) | None => None,
            };
            let expires = own.into_iter().chain(queue.arguments.ttl).min().map(|ttl| now.saturating_add(ttl));
            let batch = stored.then_some(next_batch);
            let content = Content::Here(Arc::clone(message));
            queue.ready.push_back(Entry { id, content, batch, redelivered: false, expires });
            if stored {
                on_disk = true;
                self.changes.push(Change::Put {
                    id,
                    vhost: vhost.into(),
                    queue: name.clone(),
                    message: Arc::clone(message),
                    persistent: heeded.persistent,
                    ttl: own.map(milliseconds),
                });
            }
            self.pump(vhost, name, now);
            if stored {
                self.consider_leaving(vhost, name, id);
            }
        }
        on_disk
    }

    pub(super) fn confirm(&mut self, id: ConnectionId, number: u16, delivery_tag: u64) {
        let ack = basic::Ack { delivery_tag, multiple: false };
        self.send(id, number, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
