//! The beginning of a connection: who we are, and what both sides agree upon.

use super::Error;
use super::dial::Stream;
use super::frames::{Frame, cut, put_method};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{AMQPMethod, CloseOk, Open, StartOk, Tune, TuneOk};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};
use amq_protocol::uri::{AMQPUri, SASLMechanism};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
/// The smallest limit on frames that the protocol allows.
const FRAME_MIN: u32 = 4096;
/// What we can do that brokers ask about.
const CAPABILITIES: [&str; 6] = [
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "per_consumer_qos",
    "authentication_failure_close",
];

/// What both sides agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The longest frame.
    pub frame_max: u32,
    /// The highest number of a channel.
    pub channel_max: u16,
    /// Half of the time after which a silent peer is taken for dead; zero = never.
    pub heartbeat: Duration,
}

/// Shakes hands. `uri` has the heartbeat and the frame size that we want. What the broker calls itself, and what was read
/// beyond all that, is returned, too.
///
/// # Errors
/// What the broker says, or the socket.
pub async fn shake_hands(
    stream: &mut Box<dyn Stream>,
    uri: &AMQPUri,
    name: &str,
) -> Result<(Agreed, String, Vec<u8>), Error> {
    stream.write_all(GREETING).await?;
    let mut input = vec![];
    let AMQPMethod::Start(start) = hear(stream, &mut input).await? else {
        return Err(Error::Garbled("no connection.start"));
    };
    say(stream, AMQPMethod::StartOk(introduction(uri, name)?)).await?;
    let AMQPMethod::Tune(offer) = hear(stream, &mut input).await? else {
        return Err(Error::Garbled("no connection.tune"));
    };
    let tuned = tune(&offer, uri);
    let agreed = Agreed {
        frame_max: tuned.frame_max,
        channel_max: tuned.channel_max,
        heartbeat: Duration::from_secs(tuned.heartbeat.into()),
    };
    say(stream, AMQPMethod::TuneOk(tuned)).await?;
    say(stream, AMQPMethod::Open(Open { virtual_host: uri.vhost.as_str().into() })).await?;
    match hear(stream, &mut input).await? {
        AMQPMethod::OpenOk(_) => Ok((agreed, product(&start.server_properties), input)),
        _ => Err(Error::Garbled("no connection.open-ok")),
    }
}

/// The product's name; empty where it is not told.
fn product(server: &FieldTable) -> String {
    match server.inner().get("product") {
        Some(AMQPValue::LongString(name)) => name.to_string(),
        _ => String::new(),
    }
}

/// The lesser of what both want; 0 = no wish.
fn tune(offer: &Tune, uri: &AMQPUri) -> TuneOk {
    fn lesser<T: Ord + Default + Copy>(a: T, b: T) -> T {
        if a == T::default() || (b != T::default() && b < a) { b } else { a }
    }
    TuneOk {
        channel_max: match lesser(uri.query.channel_max.unwrap_or(0), offer.channel_max) {
            0 => u16::MAX,
            agreed => agreed,
        },
        frame_max: lesser(uri.query.frame_max.unwrap_or(0), offer.frame_max).max(FRAME_MIN),
        heartbeat: lesser(uri.query.heartbeat.unwrap_or(0), offer.heartbeat),
    }
}

fn introduction(uri: &AMQPUri, name: &str) -> Result<StartOk, Error> {
    let user = &uri.authority.userinfo;
    let (mechanism, response) = match uri.query.auth_mechanism.unwrap_or_default() {
        SASLMechanism::Plain => ("PLAIN", format!("\0{}\0{}", user.username, user.password)),
        // The broker knows us by our certificate.
        SASLMechanism::External => ("EXTERNAL", String::new()),
        other => {
            let what = format!("auth_mechanism {} is not known here: plain or external", other.name());
            return Err(Error::Socket(what));
        }
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("connection_name".into(), text(name));
    properties.insert("product".into(), text("SkyNET"));
    properties.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    Ok(StartOk {
        client_properties: properties,
        mechanism: mechanism.into(),
        response: LongString::from(response),
        locale: "en_US".into(),
    })
}

async fn say(stream: &mut Box<dyn Stream>, method: AMQPMethod) -> Result<(), Error> {
    let mut out = vec![];
    put_method(&mut out, 0, AMQPClass::Connection(method));
    stream.write_all(&out).await?;
    Ok(stream.flush().await?)
}

async fn hear(stream: &mut Box<dyn Stream>, input: &mut Vec<u8>) -> Result<AMQPMethod, Error> {
    loop {
        let cut = cut(input, FRAME_MIN)?.map(|(frame, length)| match frame {
            Frame::Method(0, AMQPClass::Connection(method)) => (Ok(method), length),
            _ => (Err(Error::Garbled("no method of the connection")), length),
        });
        match cut {
            Some((method, length)) => {
                input.drain(..length);
                let close = match method? {
                    AMQPMethod::Close(close) => close,
                    method => return Ok(method),
                };
                // The broker may have gone already.
                let _ = say(stream, AMQPMethod::CloseOk(CloseOk {})).await;
                let text = close.reply_text.as_str().to_owned();
                return Err(Error::Refused { code: close.reply_code, text });
            }
            None if stream.read_buf(input).await? == 0 => {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            None => {}
        }
    }
}
