//! A message as it was published, and what of its header the broker heeds.

use crate::wire;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, parse_frame};
use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::FieldTable;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of content that are in memory, in queues and on their way to the disk.
#[derive(Clone, Debug, Default)]
pub struct Weight(Arc<AtomicUsize>);

impl Weight {
    /// How many there are now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A message as it was published. It counts as long as it lives.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub exchange: String,
    /// Its routing key.
    pub key: String,
    /// The payload of its content header, as it came.
    pub header: Vec<u8>,
    /// The message.
    pub body: Vec<u8>,
    weight: Weight,
}

impl Message {
    /// A message that counts in `weight`.
    pub fn new(exchange: String, key: String, header: Vec<u8>, body: Vec<u8>, weight: &Weight) -> Self {
        let message = Self { exchange, key, header, body, weight: weight.clone() };
        message.weight.0.fetch_add(message.size(), Ordering::Relaxed);
        message
    }

    /// What it weighs, in bytes.
    pub fn size(&self) -> usize {
        self.header.len() + self.body.len()
    }

    /// A message with an empty header.
    #[cfg(test)]
    pub fn for_test(key: &str, body: &[u8]) -> Self {
        Self::new(String::new(), key.into(), vec![0; 14], body.into(), &Weight::default())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.weight.0.fetch_sub(self.size(), Ordering::Relaxed);
    }
}

/// What of a content header the broker heeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heeded {
    /// Length of the body in bytes.
    pub size: u64,
    /// Delivery mode 2: on disk before it is confirmed.
    pub persistent: bool,
    /// Its own time to live.
    pub ttl: Option<Ttl>,
    /// It is a question whose answer is to come to the channel that asks, without a queue.
    pub asks_for_a_reply: bool,
    /// Who it says that it is from.
    pub user_id: Option<String>,
}

/// A message's time to live, as its header gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So long.
    For(Duration),
    /// This is no number of milliseconds.
    Nonsense(String),
}

const DELIVERY_MODE: u16 = 1 << 12;
const EXPIRATION: u16 = 1 << 8;
const USER_ID: u16 = 1 << 4;
const REPLY_TO: u16 = 1 << 9;
/// What a question names where its answer needs no queue.
pub const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Reads the payload of a content header; `None` where it is none.
pub fn heed(payload: &[u8]) -> Option<Heeded> {
    let size = u64::from_be_bytes(*payload.get(4..)?.first_chunk()?);
    let flags = u16::from_be_bytes(*payload.get(12..)?.first_chunk()?);
    if flags & (DELIVERY_MODE | EXPIRATION | USER_ID | REPLY_TO) == 0 {
        return Some(Heeded { size, ..Heeded::default() });
    }
    let header = parse(payload)?;
    let ttl = header.properties.expiration().as_ref().map(|text| match text.as_str().parse() {
        Ok(ms) => Ttl::For(Duration::from_millis(ms)),
        Err(_) => Ttl::Nonsense(text.as_str().to_owned()),
    });
    let user_id = header.properties.user_id().as_ref().map(|name| name.as_str().to_owned());
    let reply_to = header.properties.reply_to().as_ref();
    Some(Heeded {
        size,
        persistent: *header.properties.delivery_mode() == Some(2),
        ttl,
        asks_for_a_reply: reply_to.is_some_and(|name| name.as_str() == DIRECT_REPLY_TO),
        user_id,
    })
}

/// The `headers` in the payload of a content header; none where there are none.
pub fn headers(payload: &[u8]) -> FieldTable {
    parse(payload).and_then(|header| header.properties.headers().clone()).unwrap_or_default()
}

/// The payload of a content header with changed properties; the same where it cannot be read.
pub fn with_properties(payload: &[u8], change: impl FnOnce(AMQPProperties) -> AMQPProperties) -> Vec<u8> {
    let Some(mut header) = parse(payload) else { return payload.to_vec() };
    header.properties = change(header.properties);
    let mut out = vec![];
    wire::put_frame(&mut out, &AMQPFrame::Header(0, header));
    out.get(7..out.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

fn parse(payload: &[u8]) -> Option<AMQPContentHeader> {
    let mut frame = vec![2, 0, 0];
    frame.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xce);
    match parse_frame(frame.as_slice()) {
        Ok((_, AMQPFrame::Header(_, header))) => Some(header),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(size: u64, properties: AMQPProperties) -> Vec<u8> {
        let header = AMQPContentHeader { class_id: 60, body_size: size, properties };
        let mut out = vec![];
        wire::put_frame(&mut out, &AMQPFrame::Header(1, header));
        wire::cut(&out).unwrap().unwrap().payload.to_vec()
    }

    #[test]
    fn size_persistence_and_time_to_live_are_heeded() {
        let plain = AMQPProperties::default();
        for (properties, persistent, ttl) in [
            (plain.clone(), false, None),
            (plain.clone().with_delivery_mode(1), false, None),
            (plain.clone().with_delivery_mode(2), true, None),
            (plain.clone().with_expiration("5".into()), false, Some(Ttl::For(Duration::from_millis(5)))),
            (plain.clone().with_expiration("-5".into()), false, Some(Ttl::Nonsense("-5".into()))),
            (plain.with_message_id("m".into()).with_delivery_mode(2), true, None),
        ] {
            let expected = Heeded { size: 77, persistent, ttl, ..Heeded::default() };
            assert_eq!(heed(&payload(77, properties.clone())), Some(expected), "{properties:?}");
        }
    }

    #[test]
    fn a_message_counts_as_long_as_it_lives() {
        let weight = Weight::default();
        let message = Message::new("e".into(), "k".into(), vec![0; 14], vec![0; 100], &weight);
        let other = Message::new("e".into(), "k".into(), vec![], vec![0; 3], &weight);
        assert_eq!(weight.bytes(), 117);
        drop(message);
        assert_eq!(weight.bytes(), 3);
        drop(other);
        assert_eq!(weight.bytes(), 0);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = heed(&bytes);
        }
    }
}
