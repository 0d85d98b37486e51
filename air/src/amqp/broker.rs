//! One connected broker: a consumer on a connection of its own, a confirming publisher on another.

use crate::amqp::connection::Connection;
pub use crate::amqp::connection::reason;
use crate::amqp::link::Options;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PERSISTENT: u8 = 2;

/// The tag of our consumer on its channel.
const CONSUMER: &str = "exo";

/// A broker that is connected and published to.
pub struct Broker {
    pub replies: Channel,
    pub place: String,
    pub consuming: Arc<Connection>,
    pub publishing: Arc<Connection>,
}

/// The work queue, consumed from.
pub struct Work {
    pub channel: Channel,
    pub consumer: Consumer,
}

impl Broker {
    /// Connects twice, and declares the reply queue.
    ///
    /// # Errors
    /// Why not, in a line that names the broker and never the password.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, String> {
        let open = || Connection::open(url, &options.name, &options.tls);
        let (consuming, publishing) = tokio::try_join!(open(), open())?;
        let (place, reply_to) = (publishing.place.clone(), options.reply_to.as_str());
        let opened = async {
            let replies = publishing.channel().await?;
            replies.confirm_select(ConfirmSelectOptions::default()).await?;
            replies.queue_declare(reply_to.into(), durable(), FieldTable::default()).await?;
            Ok::<_, lapin::Error>(replies)
        };
        let replies = opened.await.map_err(|e| format!("cannot publish at {place}: {}", reason(&e)))?;
        Ok(Self { replies, place, consuming: consuming.into(), publishing: publishing.into() })
    }

    /// Publishes a persistent, mandatory message and waits until the broker has it.
    ///
    /// # Errors
    /// [`NotSent`].
    pub async fn publish(channel: Channel, queue: String, body: Vec<u8>) -> Result<(), NotSent> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default()
            .with_content_type("application/octet-stream".into())
            .with_delivery_mode(PERSISTENT);
        let sent = async {
            channel.basic_publish("".into(), queue.as_str().into(), options, &body, properties).await?.await
        };
        match sent.await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => {
                // Somebody has deleted it: declared again, so that the next try finds it.
                let _ = channel.queue_declare(queue.as_str().into(), durable(), FieldTable::default()).await;
                Err(NotSent::Refused(format!("there was no queue {queue}")))
            }
            Ok(_) => Err(NotSent::Refused("the broker refused it".into())),
            Err(e) => Err(NotSent::Lost(reason(&e))),
        }
    }

    /// Whether both connections are still there.
    pub fn is_connected(&self) -> bool {
        self.consuming.is_connected() && self.publishing.is_connected()
    }

    /// Closes both connections within a time; what was not acknowledged goes back to its queue.
    pub async fn close(&self, within: Duration) {
        tokio::join!(self.consuming.close(within), self.publishing.close(within));
    }
}

impl Work {
    /// Declares the work queue and consumes from it, on a new channel.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(connection: Arc<Connection>, options: Options) -> Result<Self, String> {
        let opened = async {
            let channel = connection.channel().await?;
            channel.basic_qos(options.prefetch, BasicQosOptions::default()).await?;
            channel.queue_declare(options.queue.as_str().into(), durable(), arguments(&options)).await?;
            let (queue, tag) = (options.queue.as_str().into(), CONSUMER.into());
            let consumer = channel
                .basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default())
                .await?;
            Ok::<_, lapin::Error>(Self { channel, consumer })
        };
        opened.await.map_err(|e| {
            format!("cannot consume from {} at {}: {}", options.queue, connection.place, reason(&e))
        })
    }

    /// Takes no more from the queue.
    ///
    /// # Errors
    /// What lapin says.
    pub async fn cancel(&self) -> lapin::Result<()> {
        self.channel.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await
    }
}

/// What [`watch`] finds.
pub enum Unwell {
    /// The work queue has no consumer.
    Idle,
    /// The broker does not answer, or not well.
    Broken(String),
}

/// Returns as soon as the broker does not answer on one of its connections, or the work queue has no consumer.
/// Asked twice in each heartbeat, as lapin notices a broker that stands still only after two.
pub async fn watch(consuming: Arc<Connection>, publishing: Arc<Connection>, options: Options) -> Unwell {
    let every = (consuming.heartbeat() / 2).max(Duration::from_secs(1));
    loop {
        sleep(every).await;
        let work = async { declare(&consuming, &options.queue, arguments(&options)).await };
        let replies = async {
            // A broker that takes no messages for now does not read from here at all.
            if publishing.inner().status().blocked() {
                return Ok(0);
            }
            declare(&publishing, &options.reply_to, FieldTable::default()).await
        };
        match timeout(every, async { tokio::try_join!(work, replies) }).await {
            Ok(Ok((0, _))) => return Unwell::Idle,
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Unwell::Broken(reason(&e)),
            Err(_) => {
                return Unwell::Broken(format!("the broker has not answered for {} s", every.as_secs()));
            }
        }
    }
}

/// Declares a queue, on a channel of its own: one that is not as it should be closes the channel. Returns how many
/// consumers it has.
async fn declare(connection: &Connection, queue: &str, arguments: FieldTable) -> lapin::Result<u32> {
    let channel = connection.channel().await?;
    let found = channel.queue_declare(queue.into(), durable(), arguments).await?;
    channel.close(200, "asked".into()).await?;
    Ok(found.consumer_count())
}

/// Why a message was not sent.
pub enum NotSent {
    /// The broker returned or refused it.
    Refused(String),
    /// The connection is gone: whether the broker has it is unknown.
    Lost(String),
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..Default::default() }
}

/// None for a classic queue: anything else would not match a queue that BOSS declared.
fn arguments(options: &Options) -> FieldTable {
    let mut table = FieldTable::default();
    if options.quorum {
        table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    table
}
