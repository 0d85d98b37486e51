//! One connected broker: a consumer on a connection of its own, a confirming publisher on another.

use crate::link::Options;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind};

const PERSISTENT: u8 = 2;

/// The tag of our consumer on its channel.
pub const CONSUMER: &str = "exo";

/// A broker that is connected, consumed from and published to.
pub struct Broker {
    pub consumer: Consumer,
    pub work: Channel,
    pub replies: Channel,
    pub place: String,
    connections: [Connection; 2],
}

impl Broker {
    /// Connects, declares both queues and consumes.
    ///
    /// # Errors
    /// Why not, in a line that names the broker and never the password.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, String> {
        let uri: AMQPUri = url.parse().map_err(|e| format!("cannot read the broker's url: {e}"))?;
        let place = place(&uri);
        let opened = async {
            let properties =
                || ConnectionProperties::default().with_connection_name(options.name.as_str().into());
            let consuming = Connection::connect(url, properties()).await?;
            let publishing = Connection::connect(url, properties()).await?;
            let replies = publishing.create_channel().await?;
            replies.confirm_select(ConfirmSelectOptions::default()).await?;
            let work = consuming.create_channel().await?;
            work.basic_qos(options.prefetch, BasicQosOptions::default()).await?;
            Ok::<_, lapin::Error>((consuming, publishing, work, replies))
        };
        let (consuming, publishing, work, replies) =
            opened.await.map_err(|e| format!("cannot connect to {place}: {}", reason(&e)))?;
        let declared = async {
            replies.queue_declare(options.reply_to.as_str().into(), durable(), FieldTable::default()).await?;
            work.queue_declare(options.queue.as_str().into(), durable(), arguments(options)).await?;
            let (queue, tag) = (options.queue.as_str().into(), CONSUMER.into());
            work.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await
        };
        let consumer = declared
            .await
            .map_err(|e| format!("cannot consume from {} at {place}: {}", options.queue, reason(&e)))?;
        Ok(Self { consumer, work, replies, place, connections: [consuming, publishing] })
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
            Ok(Confirmation::Ack(Some(_))) => Err(NotSent::Refused(format!("there is no queue {queue}"))),
            Ok(_) => Err(NotSent::Refused("the broker refused it".into())),
            Err(e) => Err(NotSent::Lost(reason(&e))),
        }
    }

    /// Whether both connections are still there.
    pub fn is_connected(&self) -> bool {
        self.connections.iter().all(|connection| connection.status().connected())
    }

    /// Closes both connections; what was not acknowledged goes back to its queue.
    pub async fn close(self) {
        for connection in self.connections {
            // A broken one is closed already.
            let _ = connection.close(200, ShortString::from("done")).await;
        }
    }
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

/// `amqp://host:port/vhost`, without user and password.
fn place(uri: &AMQPUri) -> String {
    let scheme = format!("{:?}", uri.scheme).to_lowercase();
    format!("{scheme}://{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost)
}

/// The broker's own words where it said something.
pub fn reason(e: &lapin::Error) -> String {
    match e.kind() {
        ErrorKind::ProtocolError(e) => e.get_message().to_string(),
        ErrorKind::IOError(e) => e.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
        _ => e.to_string(),
    }
}
