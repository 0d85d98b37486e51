//! One peer: its socket, what was read from it and is not dealt with, the handshake, and the end.

use crate::fault::Fault;
use crate::old::Version;
use crate::queue::ConnectionId;
use crate::settings::Settings;
use crate::wire::{self, FRAME_MAX};
use amq_protocol::protocol::{AMQPClass, connection};
use amq_protocol::types::parsing::parse_field_table;
use amq_protocol::types::{AMQPValue, FieldTable};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::warn;

const GREETING: &[u8; 8] = b"AMQP\0\0\x09\x01";
const HEARTBEAT: u16 = 60;
/// Channels of one connection.
const CHANNEL_MAX: u16 = 2047;
/// The smallest `frame-max` that the protocol allows.
const FRAME_MIN: u32 = 4096;

/// A peer on its socket.
pub struct Line {
    /// The socket.
    pub stream: TcpStream,
    /// What was read and is not dealt with.
    pub input: Vec<u8>,
    /// The name of the connection.
    pub id: ConnectionId,
    /// What the peer speaks.
    pub version: Version,
}

/// What both sides agreed upon.
pub struct Agreed {
    /// The vhost that was asked for.
    pub vhost: String,
    /// The largest frame that the peer takes.
    pub frame_max: u32,
    /// Channels it may have open.
    pub channel_max: u16,
    /// Seconds between signs of life; 0 = none.
    pub heartbeat: u16,
    /// The peer wants to be told when it has to wait.
    pub hears_blocked: bool,
}

/// Why a connection ends.
pub enum End {
    /// The peer asked for it.
    Asked,
    /// The peer did something wrong, in this method.
    Fault(Fault, (u16, u16)),
}

impl Line {
    /// Authentication and tuning, up to the peer's `connection.open`, which is not answered yet. `Err(None)` = the
    /// peer went away.
    pub async fn shake_hands(&mut self, settings: &Settings) -> Result<Agreed, Option<Fault>> {
        let mut greeting = [0; 8];
        self.stream.read_exact(&mut greeting).await.map_err(|_| None)?;
        let Some(version) = Version::of_greeting(&greeting) else {
            let _ = self.stream.write_all(GREETING).await;
            return Err(None);
        };
        self.version = version;
        let (version_major, version_minor) = version.numbers();
        self.say(connection::AMQPMethod::Start(connection::Start {
            version_major,
            version_minor,
            server_properties: properties(version),
            mechanisms: "PLAIN AMQPLAIN".into(),
            locales: "en_US".into(),
        }))
        .await?;
        let connection::AMQPMethod::StartOk(start) = self.hear().await? else { return Err(None) };
        authenticate(settings, start.mechanism.as_str(), start.response.as_bytes())?;
        let tune = connection::Tune { channel_max: CHANNEL_MAX, frame_max: FRAME_MAX, heartbeat: HEARTBEAT };
        self.say(connection::AMQPMethod::Tune(tune)).await?;
        let connection::AMQPMethod::TuneOk(tuned) = self.hear().await? else { return Err(None) };
        let connection::AMQPMethod::Open(open) = self.hear().await? else { return Err(None) };
        Ok(Agreed {
            vhost: open.virtual_host.as_str().to_owned(),
            frame_max: match tuned.frame_max {
                0 => FRAME_MAX,
                asked => asked.clamp(FRAME_MIN, FRAME_MAX),
            },
            channel_max: match tuned.channel_max {
                0 => CHANNEL_MAX,
                asked => asked.min(CHANNEL_MAX),
            },
            heartbeat: tuned.heartbeat,
            hears_blocked: has_capability(&start.client_properties, "connection.blocked"),
        })
    }

    /// Sends a method of the connection.
    pub async fn say(&mut self, method: connection::AMQPMethod) -> Result<(), Option<Fault>> {
        let mut out = vec![];
        wire::put_method(&mut out, 0, AMQPClass::Connection(method), self.version);
        self.stream.write_all(&out).await.map_err(|_| None)
    }

    /// Waits for a method of the connection.
    async fn hear(&mut self) -> Result<connection::AMQPMethod, Option<Fault>> {
        loop {
            let cut = match wire::cut(&self.input) {
                Ok(Some(raw)) => Some((raw.frame.len(), wire::method(&raw, self.version))),
                Ok(None) => None,
                Err(wire::Broken) => return Err(None),
            };
            match cut {
                Some((length, method)) => {
                    self.input.drain(..length);
                    if let Ok(AMQPClass::Connection(method)) = method {
                        return Ok(method);
                    }
                    return Err(None);
                }
                None => {
                    let mut buffer = [0; 4096];
                    match self.stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => self.input.extend_from_slice(&buffer[..n]),
                        _ => return Err(None),
                    }
                }
            }
        }
    }

    /// Ends the connection in the manner of its end.
    pub async fn end(&mut self, end: End) {
        match end {
            End::Asked => {
                let _ = self.say(connection::AMQPMethod::CloseOk(connection::CloseOk {})).await;
            }
            End::Fault(fault, ids) => {
                warn!("connection {}: {}", self.id, fault.text);
                self.close(&fault, ids).await;
            }
        }
    }

    /// Says why, and waits a moment for the peer to have heard it.
    pub async fn close(&mut self, fault: &Fault, ids: (u16, u16)) {
        let close = connection::Close {
            reply_code: fault.code,
            reply_text: fault.short_text().into(),
            class_id: ids.0,
            method_id: ids.1,
        };
        if self.say(connection::AMQPMethod::Close(close)).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.hear_close_ok()).await;
        }
    }

    /// Reads on until the peer has heard of the end: a socket closed with unread input may take back what was
    /// said last. What the peer had sent before is of no use any more.
    async fn hear_close_ok(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            while let Ok(Some(raw)) = wire::cut(&self.input) {
                let (length, method) = (raw.frame.len(), wire::method(&raw, self.version));
                self.input.drain(..length);
                if let Ok(AMQPClass::Connection(connection::AMQPMethod::CloseOk(_))) = method {
                    return;
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(n) if n > 0 => self.input.extend_from_slice(&buffer[..n]),
                _ => return,
            }
        }
    }
}

fn authenticate(settings: &Settings, mechanism: &str, response: &[u8]) -> Result<(), Fault> {
    let expected = format!("\0{}\0{}", settings.user, settings.password);
    let plain = match mechanism {
        "PLAIN" => response.to_vec(),
        "AMQPLAIN" => plain(response),
        _ => vec![],
    };
    // Compared in full, whatever differs: the time taken tells nothing.
    let differing = plain.iter().zip(expected.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    if plain.len() == expected.len() && differing == 0 {
        return Ok(());
    }
    Err(Fault::access_refused(&format!(
        "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
    )))
}

/// What PLAIN would have said for this response of AMQPLAIN, which is a table without its length; empty where it is none.
fn plain(response: &[u8]) -> Vec<u8> {
    let length = u32::try_from(response.len()).unwrap_or(0);
    let table = [&length.to_be_bytes(), response].concat();
    let Ok((_, table)) = parse_field_table(table.as_slice()) else { return vec![] };
    match (table.inner().get("LOGIN"), table.inner().get("PASSWORD")) {
        (Some(AMQPValue::LongString(user)), Some(AMQPValue::LongString(password))) => {
            [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat()
        }
        _ => vec![],
    }
}

fn has_capability(properties: &FieldTable, name: &str) -> bool {
    match properties.inner().get("capabilities") {
        Some(AMQPValue::FieldTable(capabilities)) => {
            matches!(capabilities.inner().get(name), Some(AMQPValue::Boolean(true)))
        }
        _ => false,
    }
}

/// What clients look at to know what they may do. Those of 0-8 cannot read truth values in a table, and are told of none.
fn properties(version: Version) -> FieldTable {
    let text = |t: &str| AMQPValue::LongString(t.into());
    let mut capabilities = FieldTable::default();
    let names = [
        "publisher_confirms",
        "consumer_cancel_notify",
        "basic.nack",
        "per_consumer_qos",
        "authentication_failure_close",
        "connection.blocked",
    ];
    for name in names.iter().filter(|_| version != Version::Old) {
        capabilities.insert((*name).into(), AMQPValue::Boolean(true));
    }
    let mut table = FieldTable::default();
    table.insert("product".into(), text("skynet-broker"));
    table.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    table.insert("information".into(), text("for one machine and one user"));
    table.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    table
}
