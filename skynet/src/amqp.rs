//! A line to the broker for as long as one command runs.

use crate::trouble::{Trouble, cannot};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind};

/// What participants answer to.
pub const REPLIES: &str = "ruote_workitems";
const PERSISTENT: u8 = 2;
const NOT_FOUND: u16 = 404;
/// How many replies are held at once at the most.
const PREFETCH: u16 = 5000;

/// Where the calls of this module run.
///
/// # Errors
/// What starting it reports.
pub fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot("start", "the AMQP runtime"))
}

/// A connection with one channel whose messages are confirmed.
pub struct Line {
    connection: Connection,
    channel: Channel,
    place: String,
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
    pub async fn open(urls: &[String]) -> Result<Self, Trouble> {
        let mut last = Trouble::Usage("no broker is named in boss.conf".to_owned());
        for url in urls {
            let place = match url.parse::<AMQPUri>() {
                Ok(uri) => place(&uri),
                Err(_) => {
                    last = Trouble::Usage("cannot read an AMQP url in boss.conf".to_owned());
                    continue;
                }
            };
            match Self::connect(url).await {
                Ok((connection, channel)) => return Ok(Self { connection, channel, place }),
                Err(e) => {
                    last = Trouble::System(format!("cannot connect to the broker at {place}: {}", reason(&e)))
                }
            }
        }
        Err(last)
    }

    async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
        let properties = ConnectionProperties::default().with_connection_name("skynet".into());
        let connection = Connection::connect(url, properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    /// Publishes a persistent message to a queue and waits until the broker has it. False = there is no such
    /// queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, queue: &str, body: &[u8]) -> Result<bool, Trouble> {
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

    /// How many consumers a queue has; `None` where there is no such queue.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn consumers(&self, queue: &str) -> Result<Option<u32>, Trouble> {
        // A channel of its own, as the answer "no such queue" closes it.
        let ask = async {
            let channel = self.connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
            channel.close(200, ShortString::from("asked")).await?;
            Ok(found)
        };
        match ask.await {
            Ok(queue) => Ok(Some(queue.consumer_count())),
            Err(e) if is_not_found(&e) => Ok(None),
            Err(e) => Err(self.trouble("look at a queue", reason(&e))),
        }
    }

    /// Declares a durable queue and consumes from it; it goes with its last consumer where `passing`.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn consume(&self, queue: &str, tag: &str, passing: bool) -> Result<Deliveries, Trouble> {
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
        let channel = self.connection.create_channel().await?;
        channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        channel
            .basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
    }

    /// Closes the line; what was not settled goes back to its queue.
    pub async fn close(self) {
        // The broker sees a closed connection either way.
        let _ = self.connection.close(200, ShortString::from("done")).await;
    }

    /// A failure on this line.
    pub fn trouble(&self, verb: &str, reason: impl std::fmt::Display) -> Trouble {
        Trouble::System(format!("cannot {verb} at the broker {}: {reason}", self.place))
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

/// `amqp://host:port/vhost`, without user and password.
fn place(uri: &AMQPUri) -> String {
    let scheme = format!("{:?}", uri.scheme).to_lowercase();
    format!("{scheme}://{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost)
}

fn is_not_found(e: &lapin::Error) -> bool {
    matches!(e.kind(), ErrorKind::ProtocolError(e) if e.get_id() == NOT_FOUND)
}

/// The broker's own words where it said something.
fn reason(e: &lapin::Error) -> String {
    match e.kind() {
        ErrorKind::ProtocolError(e) => e.get_message().to_string(),
        ErrorKind::IOError(e) => e.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
        _ => e.to_string(),
    }
}
