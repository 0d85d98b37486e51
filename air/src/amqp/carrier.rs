//! AIR over a broker.

use crate::amqp::client::{
    self, AMQPValue, Channel, Connection, Declare, Delivery, Error, FieldTable, Message as Envelope,
    Properties, Taken, Tls,
};
use crate::rpc::{Broken, Carrier, Exchange, Inbox, Message};
use futures_util::future::{join, join_all};
use futures_util::stream::unfold;
use std::sync::Arc;
use std::time::Duration;

/// The tag of our consumer on its channel.
const CONSUMER: &str = "air";
/// How many requests the broker may have outstanding at one inbox.
const PREFETCH: u16 = 32;

/// AIR on one connection, or on two: one to listen on, one to send on. It lasts as long as they do.
#[derive(Clone)]
pub struct Air {
    listening: Arc<Connection>,
    sending: Channel,
    _sender: Arc<Connection>,
}

impl Air {
    /// AIR between these connections, whose exchanges are declared.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn between(listening: Arc<Connection>, sender: Arc<Connection>) -> Result<Self, Broken> {
        let opened = async {
            let channel = sender.channel().await?;
            // Sent one after the other, and only then waited for.
            let (confirm, (request, response)) = join(
                channel.confirm(),
                join(
                    channel.declare_exchange(Exchange::Request.name(), "topic"),
                    channel.declare_exchange(Exchange::Response.name(), "direct"),
                ),
            )
            .await;
            confirm.and(request).and(response)?;
            Ok::<_, Error>(channel)
        };
        Ok(Self { listening, sending: opened.await.map_err(broken)?, _sender: sender })
    }

    /// Connects to the first of these brokers that answers, for as long as one command runs.
    ///
    /// # Errors
    /// Why the last one did not; never with a password.
    pub async fn connect(urls: &[String], name: &str, tls: &Tls) -> Result<Self, Broken> {
        let mut last = Broken("no broker is named".into());
        for url in urls {
            match Connection::open(url, name, tls).await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    return Self::between(Arc::clone(&connection), connection).await;
                }
                Err(why) => last = Broken(why),
            }
        }
        Err(last)
    }
}

impl Carrier for Air {
    async fn send(&self, exchange: Exchange, message: Message) -> Result<bool, Broken> {
        let envelope = Envelope {
            exchange: exchange.name().to_owned(),
            properties: properties(&message),
            key: message.key,
            mandatory: exchange == Exchange::Request,
            body: message.body,
        };
        match self.sending.publish(envelope).await {
            Ok(Taken::Yes) => Ok(true),
            Ok(Taken::Returned) => Ok(false),
            Ok(Taken::No) => Err(Broken("the broker refused the message".into())),
            Err(e) => Err(broken(e)),
        }
    }

    async fn listen(&self, exchange: Exchange, queue: String, keys: Vec<String>) -> Result<Inbox, Broken> {
        let opened = async {
            let channel = self.listening.channel().await?;
            let own = Declare { exclusive: true, auto_delete: true, ..Declare::default() };
            let bind = |key| channel.bind(&queue, exchange.name(), key);
            // All sent at once: one round trip.
            let ((declared, limited), (bound, consumer)) = join(
                join(channel.declare(&queue, own, FieldTable::default()), channel.limit(PREFETCH)),
                join(
                    join_all(keys.iter().map(|key| bind(key))),
                    channel.consume(&queue, CONSUMER, exchange == Exchange::Response),
                ),
            )
            .await;
            declared?;
            limited?;
            bound.into_iter().collect::<Result<(), Error>>()?;
            consumer
        };
        let acknowledge = exchange == Exchange::Request;
        // The channel closes with its consumer, which goes with the stream.
        let messages = unfold(opened.await.map_err(broken)?, move |mut consumer| async move {
            let delivery = consumer.next().await?;
            if acknowledge {
                // At most once: a request that is begun is not begun again. If the connection is gone, so is the queue.
                consumer.channel.ack(delivery.tag);
            }
            Some((message(delivery), consumer))
        });
        Ok(Inbox::new(messages, ()))
    }
}

fn broken(e: Error) -> Broken {
    Broken(e.to_string())
}

fn properties(message: &Message) -> Properties {
    let mut headers = FieldTable::default();
    let mut number = |name: &str, value: i64| {
        headers.insert(name.into(), AMQPValue::LongLongInt(value));
    };
    if let Some(version) = message.version {
        number("v", version);
    }
    if let Some(deadline) = message.deadline {
        number("deadline_ms", milliseconds(deadline));
    }
    if message.receipt {
        number("receipt", 1);
    }
    if let Some(from) = &message.from {
        headers.insert("from".into(), AMQPValue::LongString(from.as_str().into()));
    }
    let mut properties =
        Properties::default().with_content_type("application/json".into()).with_headers(headers);
    if let Some(id) = &message.id {
        properties = properties.with_message_id(id.as_str().into());
    }
    if let Some(answers) = &message.answers {
        properties = properties.with_correlation_id(answers.as_str().into());
    }
    if let Some(reply_to) = &message.reply_to {
        properties = properties.with_reply_to(reply_to.as_str().into());
    }
    if let Some(kind) = &message.kind {
        properties = properties.with_type(kind.as_str().into());
    }
    if let Some(deadline) = message.deadline {
        properties = properties.with_expiration(milliseconds(deadline).to_string().as_str().into());
    }
    properties
}

fn milliseconds(deadline: Duration) -> i64 {
    i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn message(delivery: Delivery) -> Message {
    let text = |text: &Option<client::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let properties = &delivery.properties;
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let number = |name: &str| header(name).and_then(number);
    let expiration = || text(properties.expiration())?.parse::<u64>().ok();
    let left = number("deadline_ms").and_then(|ms| u64::try_from(ms).ok()).or_else(expiration);
    Message {
        key: delivery.key,
        id: text(properties.message_id()),
        answers: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        kind: text(properties.kind()),
        deadline: left.map(Duration::from_millis),
        version: number("v"),
        receipt: number("receipt").is_some_and(|receipt| receipt != 0),
        from: match header("from") {
            Some(AMQPValue::LongString(from)) => Some(from.to_string()),
            _ => None,
        },
        body: delivery.body,
    }
}

/// A header's number, of whatever width its sender's library chose.
fn number(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::Boolean(value) => Some((*value).into()),
        AMQPValue::ShortShortInt(value) => Some((*value).into()),
        AMQPValue::ShortShortUInt(value) => Some((*value).into()),
        AMQPValue::ShortInt(value) => Some((*value).into()),
        AMQPValue::ShortUInt(value) => Some((*value).into()),
        AMQPValue::LongInt(value) => Some((*value).into()),
        AMQPValue::LongUInt(value) => Some((*value).into()),
        AMQPValue::LongLongInt(value) => Some(*value),
        AMQPValue::Timestamp(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}
