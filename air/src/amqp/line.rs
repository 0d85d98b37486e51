//! A line to the broker for as long as one command runs: `skynet send`, `queues`, `failed --retry`.
//!
//! Unlike [`crate::amqp::link`] it does not survive its broker: whoever runs the command is told and tries again.

use crate::amqp::connection::{Connection, Tls, reason};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, ErrorKind};
use std::time::Duration;

const PERSISTENT: u8 = 2;
const NOT_FOUND: u16 = 404;
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
    message: lapin::message::Delivery,
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
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        match open.await {
            Ok(channel) => Ok(Self { connection, channel }),
            Err(e) => Err(format!("cannot use the broker at {}: {}", connection.place, reason(&e))),
        }
    }

    /// Publishes a persistent message to a queue and waits until the broker has it. False = there is no such
    /// queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, queue: &str, body: &[u8]) -> Result<bool, LineError> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default()
            .with_content_type("application/octet-stream".into())
            .with_delivery_mode(PERSISTENT);
        let sent = async {
            self.channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await
        };
        match sent.await {
            Ok(Confirmation::Ack(returned)) => Ok(returned.is_none()),
            Ok(_) => Err(self.trouble("send", "the broker refused the message")),
            Err(e) => Err(self.trouble("send", reason(&e))),
        }
    }

    /// How many messages and consumers a queue has; `None` where there is no such queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn queue(&self, queue: &str) -> Result<Option<Queue>, LineError> {
        // A channel of its own, as the answer "no such queue" closes it.
        let ask = async {
            let channel = self.connection.channel().await?;
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
            channel.close(200, ShortString::from("asked")).await?;
            Ok(found)
        };
        match ask.await {
            Ok(queue) => Ok(Some(Queue { ready: queue.message_count(), consumers: queue.consumer_count() })),
            Err(e) if is_not_found(&e) => Ok(None),
            Err(e) => Err(self.trouble("look at a queue", reason(&e))),
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
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.map(drop).map_err(|e| self.trouble(&format!("make the queue {queue}"), reason(&e)))
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
                Err(e) if passing && is_not_found(&e) => {}
                Err(e) => return Err(self.trouble(&format!("consume from {queue}"), reason(&e))),
            }
        }
    }

    async fn begin_to_consume(&self, queue: &str, tag: &str, passing: bool) -> lapin::Result<Consumer> {
        let options = QueueDeclareOptions { durable: true, auto_delete: passing, ..Default::default() };
        let channel = self.connection.channel().await?;
        channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        channel
            .basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
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
        let mut message = self.0.next().await?.ok()?;
        Some(Delivery { body: std::mem::take(&mut message.data), message })
    }
}

impl Delivery {
    /// Takes the message for good.
    pub async fn take(self) -> Vec<u8> {
        // If the line breaks now the message comes once more, to whoever listens then.
        let _ = self.message.acker.ack(BasicAckOptions::default()).await;
        self.body
    }

    /// Gives the message back to its queue.
    pub async fn give_back(self) {
        let options = BasicNackOptions { requeue: true, ..Default::default() };
        // If the line breaks it goes back by itself.
        let _ = self.message.acker.nack(options).await;
    }
}

fn is_not_found(e: &lapin::Error) -> bool {
    matches!(e.kind(), ErrorKind::ProtocolError(e) if e.get_id() == NOT_FOUND)
}
