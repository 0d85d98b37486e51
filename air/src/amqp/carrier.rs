//! AIR over a broker.

use crate::amqp::connection::{Connection, Tls, reason};
use crate::rpc::{Broken, Carrier, Exchange, Inbox, Message};
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How many requests the broker may have outstanding at one inbox.
const PREFETCH: u16 = 32;

/// AIR on one connection, or on two: one to listen on, one to send on. It lasts as long as they do.
#[derive(Clone)]
pub struct Air {
    listening: Arc<Connection>,
    /// One message at a time: a returned message is told of by its order among the confirms, which several that
    /// are confirmed at once have none of.
    sending: Arc<Mutex<Channel>>,
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
            let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declare = |exchange: Exchange, kind| {
                channel.exchange_declare(exchange.name().into(), kind, durable, FieldTable::default())
            };
            // Sent one after the other, and only then waited for.
            let (confirm, (request, response)) = join(
                channel.confirm_select(ConfirmSelectOptions::default()),
                join(
                    declare(Exchange::Request, ExchangeKind::Topic),
                    declare(Exchange::Response, ExchangeKind::Direct),
                ),
            )
            .await;
            confirm.and(request).and(response)?;
            Ok::<_, lapin::Error>(channel)
        };
        let channel = opened.await.map_err(broken)?;
        Ok(Self { listening, sending: Arc::new(Mutex::new(channel)), _sender: sender })
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
        let channel = Arc::clone(&self.sending);
        // On its own, so that a caller that stops waiting does not leave a confirm behind for the next one.
        let sent = tokio::spawn(async move {
            let channel = channel.lock().await;
            let options =
                BasicPublishOptions { mandatory: exchange == Exchange::Request, ..Default::default() };
            let (key, properties) = (message.key.as_str().into(), properties(&message));
            channel
                .basic_publish(exchange.name().into(), key, options, &message.body, properties)
                .await?
                .await
        });
        match sent.await {
            Ok(Ok(Confirmation::Ack(returned))) => Ok(returned.is_none()),
            Ok(Ok(_)) => Err(Broken("the broker refused the message".into())),
            Ok(Err(e)) => Err(broken(e)),
            Err(e) => Err(Broken(e.to_string())),
        }
    }

    async fn listen(&self, exchange: Exchange, queue: String, keys: Vec<String>) -> Result<Inbox, Broken> {
        let opened = async {
            let channel = self.listening.channel().await?;
            let name = || queue.as_str().into();
            let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            let none = FieldTable::default;
            let bind = |key: &String| {
                let (key, options) = (key.as_str().into(), QueueBindOptions::default());
                channel.queue_bind(name(), exchange.name().into(), key, options, none())
            };
            let no_ack = BasicConsumeOptions { no_ack: exchange == Exchange::Response, ..Default::default() };
            // All sent at once: one round trip.
            let ((declared, limited), (bound, consumer)) = join(
                join(
                    channel.queue_declare(name(), own, none()),
                    channel.basic_qos(PREFETCH, BasicQosOptions::default()),
                ),
                join(
                    join_all(keys.iter().map(bind)),
                    channel.basic_consume(name(), "".into(), no_ack, none()),
                ),
            )
            .await;
            declared?;
            limited?;
            bound.into_iter().collect::<lapin::Result<()>>()?;
            Ok::<_, lapin::Error>((channel, consumer?))
        };
        let (channel, consumer) = opened.await.map_err(broken)?;
        let acknowledge = exchange == Exchange::Request;
        let messages = consumer
            .take_while(|delivery| std::future::ready(delivery.is_ok()))
            .filter_map(move |delivery| take(delivery.ok(), acknowledge));
        // The channel closes when the last of its clones is dropped.
        Ok(Inbox::new(messages, channel))
    }
}

async fn take(delivery: Option<Delivery>, acknowledge: bool) -> Option<Message> {
    let delivery = delivery?;
    if acknowledge {
        // At most once: a request that is begun is not begun again. If the connection is gone, so is the queue.
        let _ = delivery.acker.ack(BasicAckOptions::default()).await;
    }
    Some(message(delivery))
}

fn broken(e: lapin::Error) -> Broken {
    Broken(reason(&e))
}

fn properties(message: &Message) -> BasicProperties {
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
        BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
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
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let properties = &delivery.properties;
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let number = |name: &str| header(name).and_then(number);
    let expiration = || text(properties.expiration())?.parse::<u64>().ok();
    let left = number("deadline_ms").and_then(|ms| u64::try_from(ms).ok()).or_else(expiration);
    Message {
        key: delivery.routing_key.as_str().to_owned(),
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
        body: delivery.data,
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
