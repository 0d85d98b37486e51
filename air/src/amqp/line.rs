//! A line to the broker for as long as one command runs: `skynet send`, `queues`, `failed --retry`.
//!
//! Unlike [`crate::amqp::link`] it does not survive its broker: whoever runs the command is told and tries again.

use crate::amqp::client::{
    self, Channel, Connection, Consumer, Declare, Error, FieldTable, Message, Properties, Taken, Tls,
};
use std::time::Duration;

const PERSISTENT: u8 = 2;
/// How many replies are held at once at the most.
const PREFETCH: u16 = 5000;

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(2);

/// Why a command could not do with the broker what it wanted: a line for people, never with a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(String);

/// What there is to know of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Messages that nobody has taken yet.
    pub ready: u32,
    /// Who listens to it.
    pub consumers: u32,
}

/// A connection with one channel whose messages are confirmed.
pub struct Line {
    connection: Connection,
    channel: Channel,
}

/// A message that was delivered and not settled yet.
pub struct Delivery {
    /// Its body.
    pub body: Vec<u8>,
    tag: u64,
    channel: Channel,
}

/// Messages as they come.
pub struct Deliveries(Consumer);

impl Line {
    /// Connects to the first broker that answers.
    ///
    /// # Errors
    /// Why the last one did not; never with a password.
    pub async fn open(urls: &[String], tls: &Tls) -> Result<Self, LineError> {
        let mut last = LineError("no broker is named".to_owned());
        for url in urls {
            match Self::connect(url, tls).await {
                Ok(line) => return Ok(line),
                Err(why) => last = LineError(why),
            }
        }
        Err(last)
    }

    async fn connect(url: &str, tls: &Tls) -> Result<Self, String> {
        let connection = Connection::open(url, "skynet", tls).await?;
        let open = async {
            let channel = connection.channel().await?;
            channel.confirm().await?;
            Ok::<_, Error>(channel)
        };
        match open.await {
            Ok(channel) => Ok(Self { connection, channel }),
            Err(e) => Err(format!("cannot use the broker at {}: {e}", connection.place)),
        }
    }

    /// Publishes a persistent message to a queue and waits until the broker has it. False = there is no such
    /// queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, queue: &str, body: &[u8]) -> Result<bool, LineError> {
        let properties = Properties::default()
            .with_content_type("application/octet-stream".into())
            .with_delivery_mode(PERSISTENT);
        let (key, body) = (queue.to_owned(), body.to_owned());
        let message = Message { key, mandatory: true, properties, body, ..Message::default() };
        match self.channel.publish(message).await {
            Ok(Taken::Yes) => Ok(true),
            Ok(Taken::Returned) => Ok(false),
            Ok(Taken::No) => Err(self.trouble("send", "the broker refused the message")),
            Err(e) => Err(self.trouble("send", e)),
        }
    }

    /// How many messages and consumers a queue has; `None` where there is no such queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn queue(&self, queue: &str) -> Result<Option<Queue>, LineError> {
        // A channel of its own, as the answer "no such queue" closes it.
        let ask = async {
            let how = Declare { passive: true, ..Declare::default() };
            self.connection.channel().await?.declare(queue, how, FieldTable::default()).await
        };
        match ask.await {
            Ok(found) => Ok(Some(Queue { ready: found.messages, consumers: found.consumers })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(self.trouble("look at a queue", e)),
        }
    }

    /// Makes a durable queue if it is not there.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn declare(&self, queue: &str) -> Result<(), LineError> {
        if self.queue(queue).await?.is_some() {
            return Ok(());
        }
        let how = Declare { durable: true, ..Declare::default() };
        let declared = self.channel.declare(queue, how, FieldTable::default()).await;
        declared.map(drop).map_err(|e| self.trouble(&format!("make the queue {queue}"), e))
    }

    /// Declares a durable queue and consumes from it; it goes with its last consumer where `passing`.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn consume(&self, queue: &str, tag: &str, passing: bool) -> Result<Deliveries, LineError> {
        loop {
            match self.begin_to_consume(queue, tag, passing).await {
                Ok(consumer) => return Ok(Deliveries(consumer)),
                // Its last consumer left between our two steps, and the queue with it.
                Err(e) if passing && e.is_not_found() => {}
                Err(e) => return Err(self.trouble(&format!("consume from {queue}"), e)),
            }
        }
    }

    async fn begin_to_consume(&self, queue: &str, tag: &str, passing: bool) -> Result<Consumer, Error> {
        let how = Declare { durable: true, auto_delete: passing, ..Declare::default() };
        let channel = self.connection.channel().await?;
        channel.declare(queue, how, FieldTable::default()).await?;
        channel.limit(PREFETCH).await?;
        channel.consume(queue, tag, false).await
    }

    /// Closes the line; what was not settled goes back to its queue.
    pub async fn close(self) {
        self.connection.close(CLOSE).await;
    }

    /// A failure on this line.
    pub fn trouble(&self, verb: &str, reason: impl std::fmt::Display) -> LineError {
        LineError(format!("cannot {verb} at the broker {}: {reason}", self.connection.place))
    }

    /// The broker, without password.
    pub fn place(&self) -> &str {
        &self.connection.place
    }
}

impl Deliveries {
    /// The next message; `None` when the line is broken.
    pub async fn next(&mut self) -> Option<Delivery> {
        let client::Delivery { tag, body, .. } = self.0.next().await?;
        Some(Delivery { body, tag, channel: self.0.channel.clone() })
    }
}

impl Delivery {
    /// Takes the message for good. If the line breaks now it comes once more, to whoever listens then.
    pub fn take(self) -> Vec<u8> {
        self.channel.ack(self.tag);
        self.body
    }

    /// Gives the message back to its queue.
    pub fn give_back(self) {
        self.channel.give_back(self.tag);
    }
}
