//! What is asked of a channel. What is asked in one go is sent in one go: the answers come in the same order.

use super::pump::Shared;
use super::state::{Delivery, Taken, Tell};
use super::{Error, FieldTable, Properties};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, exchange, queue};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A channel. Clones share it; it is closed when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Channel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u16,
    shared: Arc<Shared>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.change(|state| state.leave(self.id));
    }
}

/// How a queue is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Declare {
    /// Only looked for.
    pub passive: bool,
    /// Survives the broker.
    pub durable: bool,
    /// Goes with our connection, and is only for that.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
}

/// A queue, as the broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Messages that nobody has taken yet.
    pub messages: u32,
    /// Who listens to it.
    pub consumers: u32,
}

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Where to; empty = to the queue that `key` names.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// Whether it comes back where nobody is there to get it.
    pub mandatory: bool,
    /// Its properties.
    pub properties: Properties,
    /// The message.
    pub body: Vec<u8>,
}

/// The messages of a queue.
#[derive(Debug)]
pub struct Consumer {
    messages: mpsc::UnboundedReceiver<Delivery>,
    /// Where they are settled.
    pub channel: Channel,
}

impl Consumer {
    /// The next message; `None` when there are no more: the broker has ended it, or its channel.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.messages.recv().await
    }

    /// One that has come already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.messages.try_recv().ok()
    }
}

impl Channel {
    /// Opens a channel.
    ///
    /// # Errors
    /// As all here: what the broker says, or why the connection is over.
    pub(super) async fn open(shared: &Arc<Shared>) -> Result<Self, Error> {
        let (tell, opened) = oneshot::channel();
        let id = shared.change(|state| state.open(tell))?;
        let channel = Self(Arc::new(Inner { id, shared: Arc::clone(shared) }));
        match answer(opened).await? {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => Ok(channel),
            _ => Err(Error::Garbled("no channel.open-ok")),
        }
    }

    /// Has every message confirmed that is published from here on. To be called before the first.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn confirm(&self) -> Result<(), Error> {
        let select = confirm::Select { nowait: false };
        self.ask(AMQPClass::Confirm(confirm::AMQPMethod::Select(select))).await.map(drop)
    }

    /// Limits the deliveries that may be outstanding, for each consumer to come.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn limit(&self, prefetch: u16) -> Result<(), Error> {
        let qos = basic::Qos { prefetch_count: prefetch, global: false };
        self.ask(AMQPClass::Basic(basic::AMQPMethod::Qos(qos))).await.map(drop)
    }

    /// Makes a queue, or finds the one that is there.
    ///
    /// # Errors
    /// What the broker says: that it is of another kind, or not there.
    pub async fn declare(&self, queue: &str, how: Declare, arguments: FieldTable) -> Result<Declared, Error> {
        let Declare { passive, durable, exclusive, auto_delete } = how;
        let queue = queue.into();
        let declare =
            queue::Declare { queue, passive, durable, exclusive, auto_delete, nowait: false, arguments };
        match self.ask(AMQPClass::Queue(queue::AMQPMethod::Declare(declare))).await? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(found)) => {
                Ok(Declared { messages: found.message_count, consumers: found.consumer_count })
            }
            _ => Err(Error::Garbled("no queue.declare-ok")),
        }
    }

    /// Makes a durable exchange, or finds the one that is there. `kind`: `direct`, `topic`, `fanout`.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn declare_exchange(&self, exchange: &str, kind: &str) -> Result<(), Error> {
        let declare = exchange::Declare {
            exchange: exchange.into(),
            kind: kind.into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.ask(AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare))).await.map(drop)
    }

    /// Binds a queue to an exchange by a key.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.ask(AMQPClass::Queue(queue::AMQPMethod::Bind(bind))).await.map(drop)
    }

    /// Takes messages from a queue; `no_ack` = they are settled when they are sent. `tag` names the consumer on this
    /// channel.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn consume(&self, queue: &str, tag: &str, no_ack: bool) -> Result<Consumer, Error> {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: tag.into(),
            no_local: false,
            no_ack,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        let (into, messages) = mpsc::unbounded_channel();
        let (tell, begun) = oneshot::channel();
        self.0.shared.change(|state| state.consume(self.0.id, consume, into, tell))?;
        answer(begun).await?;
        Ok(Consumer { messages, channel: self.clone() })
    }

    /// Takes no more messages; the consumer ends after those that were on their way. It is said at once: what is settled
    /// later brings no other. What is returned waits for the broker, whose words are its errors.
    pub fn cancel(&self, tag: &str) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let cancel = basic::Cancel { consumer_tag: tag.into(), nowait: false };
        let (tell, answered) = oneshot::channel();
        let method = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
        let asked = self.0.shared.change(|state| state.ask(self.0.id, method, tell));
        async move {
            asked?;
            answer(answered).await.map(drop)
        }
    }

    /// Publishes a message, and waits until the broker has it or does not want it.
    ///
    /// # Errors
    /// Why nobody knows whether the broker has it.
    pub async fn publish(&self, message: Message) -> Result<Taken, Error> {
        let (tell, taken) = oneshot::channel();
        // Whoever published it may have stopped waiting.
        self.publish_and_tell(message, move |taken| drop(tell.send(taken)));
        answer(taken).await
    }

    /// Publishes a message; `tell` is called with what becomes of it, by the connection's task or at once.
    pub fn publish_and_tell(
        &self,
        message: Message,
        tell: impl FnOnce(Result<Taken, Error>) + Send + 'static,
    ) {
        self.0.shared.change(|state| state.publish(self.0.id, message, Tell::new(tell)));
    }

    /// Acknowledges a delivery. On a channel that is over the broker has it back already.
    pub fn ack(&self, tag: u64) {
        let ack = basic::Ack { delivery_tag: tag, multiple: false };
        self.0.shared.change(|state| state.say(self.0.id, basic::AMQPMethod::Ack(ack)));
    }

    /// Gives a delivery back to its queue.
    pub fn give_back(&self, tag: u64) {
        let nack = basic::Nack { delivery_tag: tag, multiple: false, requeue: true };
        self.0.shared.change(|state| state.say(self.0.id, basic::AMQPMethod::Nack(nack)));
    }

    /// Why it is over, where it is.
    pub fn why_over(&self) -> Option<Error> {
        self.0.shared.look().why_over(self.0.id)
    }

    async fn ask(&self, method: AMQPClass) -> Result<AMQPClass, Error> {
        let (tell, answered) = oneshot::channel();
        self.0.shared.change(|state| state.ask(self.0.id, method, tell))?;
        answer(answered).await
    }
}

async fn answer<T>(told: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    told.await.unwrap_or(Err(Error::Closed))
}
