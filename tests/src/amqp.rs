//! A blocking AMQP client: what BOSS does, and what an administrator looks at.

use crate::waiting::DEADLINE;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long a connection may take to close.
const FAREWELL: Duration = Duration::from_secs(5);
/// Where participants answer.
pub const REPLIES: &str = "ruote_workitems";

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    connection: Connection,
    channel: Channel,
}

/// How a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Messages ready for delivery; those delivered and not acknowledged do not count.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

impl Client {
    /// Connects; waits for the broker if it does not answer yet.
    pub fn connect(url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let end = Instant::now() + DEADLINE;
        loop {
            match runtime.block_on(line(url)) {
                Ok((connection, channel)) => return Self { runtime, connection, channel },
                Err(e) => assert!(Instant::now() < end, "cannot connect: {e}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Declares a queue as BOSS and participants do: durable, without arguments.
    pub fn declare(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declare = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        self.runtime.block_on(declare).unwrap();
    }

    /// Declares a queue that does not outlive the broker, nor does anything in it.
    pub fn declare_passing(&self, queue: &str) {
        let declare =
            self.channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default());
        self.runtime.block_on(declare).unwrap();
    }

    /// Declares a quorum queue.
    pub fn declare_quorum(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        self.runtime.block_on(self.channel.queue_declare(queue.into(), options, arguments)).unwrap();
    }

    /// Publishes as BOSS does (application/octet-stream, transient), and waits until the broker has it. The test
    /// fails when there is no such queue.
    pub fn publish(&self, queue: &str, body: impl AsRef<[u8]>) {
        self.publish_with(queue, body, 1);
    }

    /// Publishes a persistent message, and waits until the broker has it.
    pub fn publish_persistent(&self, queue: &str, body: impl AsRef<[u8]>) {
        self.publish_with(queue, body, 2);
    }

    /// Publishes persistent messages, and waits until the broker has all of them.
    pub fn publish_all(&self, queue: &str, bodies: impl Iterator<Item = String>) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default()
            .with_content_type("application/octet-stream".into())
            .with_delivery_mode(2);
        self.runtime.block_on(async {
            let mut sent = vec![];
            for body in bodies {
                let publish = self.channel.basic_publish(
                    "".into(),
                    queue.into(),
                    options,
                    body.as_bytes(),
                    properties.clone(),
                );
                sent.push(publish.await.unwrap());
            }
            for confirmation in sent {
                let confirmation = confirmation.await.unwrap();
                assert!(matches!(confirmation, Confirmation::Ack(None)), "{queue}: {confirmation:?}");
            }
        });
    }

    /// Takes the next message of a queue and gives it back.
    pub fn give_back_one(&self, queue: &str) {
        self.runtime.block_on(async {
            let end = Instant::now() + DEADLINE;
            // What was given back before need not be there yet.
            let message = loop {
                let got = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
                if let Some(message) = got {
                    break message;
                }
                assert!(Instant::now() < end, "no message in {queue}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            let options = BasicNackOptions { requeue: true, ..Default::default() };
            message.delivery.acker.nack(options).await.unwrap();
        });
    }

    fn publish_with(&self, queue: &str, body: impl AsRef<[u8]>, delivery_mode: u8) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default()
            .with_content_type("application/octet-stream".into())
            .with_delivery_mode(delivery_mode);
        let confirmation = self.runtime.block_on(async {
            let body = body.as_ref();
            self.channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await
        });
        match confirmation.unwrap() {
            Confirmation::Ack(None) => {}
            other => panic!("the broker did not take the message for {queue}: {other:?}"),
        }
    }

    /// Looks at a queue; `None` when there is none.
    pub fn queue(&self, queue: &str) -> Option<Queue> {
        // A channel of its own, as the answer "no such queue" closes it.
        self.runtime.block_on(async {
            let channel = self.connection.create_channel().await.unwrap();
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
            let _ = channel.close(200, "looked".into()).await;
            Some(Queue { ready: found.message_count(), consumers: found.consumer_count() })
        })
    }

    /// Messages that are ready in a queue; none where there is no such queue.
    pub fn depth(&self, queue: &str) -> u32 {
        self.queue(queue).map_or(0, |queue| queue.ready)
    }

    /// Takes the next message of a queue without waiting.
    pub fn take(&self, queue: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(async {
            let message =
                self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
            Some(message.delivery.data)
        })
    }

    /// Takes the next message of a queue with what the broker says of it, without waiting.
    pub fn take_whole(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let message = self.runtime.block_on(self.channel.basic_get(queue.into(), options)).unwrap();
        message.map(|message| message.delivery)
    }

    /// Removes all messages of a queue.
    pub fn purge(&self, queue: &str) {
        self.runtime.block_on(self.channel.queue_purge(queue.into(), QueuePurgeOptions::default())).unwrap();
    }

    /// Deletes a queue with all that is in it.
    pub fn delete(&self, queue: &str) {
        self.runtime
            .block_on(self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()))
            .unwrap();
    }

    /// Consumes from a queue, which is declared first; each message is acknowledged as it is collected.
    pub fn consume(&self, queue: &str) -> Messages<'_> {
        self.declare(queue);
        let consumer = self.runtime.block_on(async {
            let channel = self.connection.create_channel().await.unwrap();
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
        });
        Messages { client: self, consumer, queue: queue.to_owned() }
    }

    /// Consumes the replies of participants, as BOSS does.
    pub fn replies(&self) -> Messages<'_> {
        self.consume(REPLIES)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The broker may be gone. lapin 4.12 at times closes its socket in order and never says so to who waits for it.
        let closed = self.connection.close(200, "done".into());
        let _ = self.runtime.block_on(async { tokio::time::timeout(FAREWELL, closed).await });
    }
}

async fn line(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// The messages of a queue as they come.
#[derive(Debug)]
pub struct Messages<'a> {
    client: &'a Client,
    consumer: Consumer,
    queue: String,
}

impl Messages<'_> {
    /// The next message, acknowledged; the test fails when none comes.
    pub fn receive(&mut self) -> Vec<u8> {
        self.receive_within(DEADLINE)
            .unwrap_or_else(|| panic!("waited in vain for a message in {}", self.queue))
    }

    /// The next message as JSON.
    pub fn receive_json(&mut self) -> serde_json::Value {
        let body = self.receive();
        let text = String::from_utf8_lossy(&body);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON in {}: {e}: {text}", self.queue))
    }

    /// The next message, or `None` when none comes within a time. A test that must see that nothing comes
    /// rather sends something that comes after it.
    pub fn receive_within(&mut self, time: Duration) -> Option<Vec<u8>> {
        self.client.runtime.block_on(async {
            let next = tokio::time::timeout(time, self.consumer.next()).await.ok()?;
            let message = next?.unwrap_or_else(|e| panic!("{}: {e}", self.queue));
            message.acker.ack(BasicAckOptions::default()).await.unwrap();
            Some(message.data)
        })
    }

    /// The next `count` messages.
    pub fn receive_all(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.receive()).collect()
    }
}
