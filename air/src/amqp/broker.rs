//! One connected broker: a consumer on a connection of its own, a confirming publisher on another.

use crate::amqp::client::{
    AMQPValue, Channel, Connection, Consumer, Declare, Error, FieldTable, Message, PATIENCE, Properties,
};
use crate::amqp::link::Options;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PERSISTENT: u8 = 2;

/// The tag of our consumer on its channel.
const CONSUMER: &str = "exo";

const DURABLE: Declare = Declare { passive: false, durable: true, exclusive: false, auto_delete: false };

/// A broker that is connected and published to.
pub struct Broker {
    pub replies: Channel,
    pub place: String,
    pub consuming: Arc<Connection>,
    pub publishing: Arc<Connection>,
}

/// The work queue, consumed from.
pub struct Work {
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
            replies.confirm().await?;
            declare_replies(&replies, reply_to).await?;
            Ok::<_, Error>(replies)
        };
        let opened = in_time(&publishing, opened).await;
        let replies = opened.map_err(|why| format!("cannot publish at {place}: {why}"))?;
        Ok(Self { replies, place, consuming: consuming.into(), publishing: publishing.into() })
    }

    /// Closes both connections within a time; what was not acknowledged goes back to its queue.
    pub async fn close(&self, within: Duration) {
        tokio::join!(self.consuming.close(within), self.publishing.close(within));
    }
}

/// A persistent, mandatory message to a queue.
pub fn message(queue: &str, body: Vec<u8>) -> Message {
    let properties = Properties::default()
        .with_content_type("application/octet-stream".into())
        .with_delivery_mode(PERSISTENT);
    Message { key: queue.to_owned(), mandatory: true, properties, body, ..Message::default() }
}

/// Makes the queue that replies go to, where it is not there.
///
/// # Errors
/// What the broker says.
pub async fn declare_replies(replies: &Channel, queue: &str) -> Result<(), Error> {
    replies.declare(queue, DURABLE, FieldTable::default()).await.map(drop)
}

impl Work {
    /// Declares the work queue and consumes from it, on a new channel.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(connection: Arc<Connection>, options: Options) -> Result<Self, String> {
        let opened = async {
            let channel = connection.channel().await?;
            channel.limit(options.prefetch).await?;
            channel.declare(&options.queue, DURABLE, arguments(&options)).await?;
            Ok::<_, Error>(Self { consumer: channel.consume(&options.queue, CONSUMER, false).await? })
        };
        let opened = in_time(&connection, opened).await;
        opened.map_err(|why| format!("cannot consume from {} at {}: {why}", options.queue, connection.place))
    }

    /// Where deliveries are settled.
    pub fn channel(&self) -> &Channel {
        &self.consumer.channel
    }
}

/// Takes no more from the queue, by this channel; to be waited for.
pub fn cancel(work: &Channel) -> impl Future<Output = Result<(), Error>> + Send + 'static {
    work.cancel(CONSUMER)
}

/// A broker that has stopped to answer is given up within a heartbeat, as everywhere, also where its URL wants none.
async fn in_time<T>(
    connection: &Connection,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    let within = connection.heartbeat().max(PATIENCE);
    match timeout(within, asked).await {
        Ok(answered) => answered.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", within.as_secs())),
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
/// Asked twice in each heartbeat, as a broker that stands still is silent for two of them before that counts.
pub async fn watch(consuming: Arc<Connection>, publishing: Arc<Connection>, options: Options) -> Unwell {
    let every = (consuming.heartbeat() / 2).max(Duration::from_secs(1));
    let blocked = publishing.blocked();
    loop {
        sleep(every).await;
        let work = async { declare(&consuming, &options.queue, arguments(&options)).await };
        let replies = async {
            // A broker that takes no messages for now does not read from here at all.
            if blocked.borrow().is_some() {
                return Ok(0);
            }
            declare(&publishing, &options.reply_to, FieldTable::default()).await
        };
        match timeout(every, async { tokio::try_join!(work, replies) }).await {
            Ok(Ok((0, _))) => return Unwell::Idle,
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Unwell::Broken(e.to_string()),
            Err(_) => {
                return Unwell::Broken(format!("the broker has not answered for {} s", every.as_secs()));
            }
        }
    }
}

/// Declares a queue, on a channel of its own: one that is not as it should be closes the channel. Returns how many
/// consumers it has.
async fn declare(connection: &Connection, queue: &str, arguments: FieldTable) -> Result<u32, Error> {
    Ok(connection.channel().await?.declare(queue, DURABLE, arguments).await?.consumers)
}

/// None for a classic queue: anything else would not match a queue that BOSS declared.
fn arguments(options: &Options) -> FieldTable {
    let mut table = FieldTable::default();
    if options.quorum {
        table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    table
}
