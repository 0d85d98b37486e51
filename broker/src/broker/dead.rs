//! Dead letters: what was thrown away, or became too old, goes to the exchange that its queue names for that, with
//! the header `x-death` that says what happened to it (as RabbitMQ writes it).

use super::Broker;
use crate::message::{self, Heeded, Message};
use crate::queue::{Entry, Moment};
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a message is dead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A consumer did not want it back in the queue.
    Rejected,
    /// It became too old.
    Expired,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl Broker {
    /// These messages of a queue are too old.
    pub(super) fn expired(&mut self, vhost: &str, name: &str, entries: Vec<Entry>, now: Moment) {
        entries.into_iter().for_each(|entry| self.bury(vhost, name, entry, Cause::Expired, now));
    }

    /// A message is dead: it leaves its queue, for the exchange of dead letters where the queue has one.
    pub(super) fn bury(&mut self, vhost: &str, name: &str, entry: Entry, cause: Cause, now: Moment) {
        let arguments = self.queue_mut(vhost, name).map(|queue| queue.arguments.clone()).unwrap_or_default();
        let Some(exchange) = arguments.dead_letters else { return self.drop_entries(&[entry]) };
        // A message that cannot be read is back in its queue, and has been spoken of.
        let Some((entry, dead)) = self.read(vhost, name, entry) else { return };
        let key = arguments.dead_letter_key.unwrap_or_else(|| dead.key.clone());
        let died = Death { queue: name, cause, exchange: &dead.exchange, key: &dead.key };
        let mut targets = self.route(vhost, &exchange, &key, &dead.header).unwrap_or_default();
        targets.retain(|target| !died.goes_in_circles(target, &dead.header));
        let header = died.written_into(&dead.header);
        let heeded = Heeded { ttl: None, ..message::heed(&dead.header).unwrap_or_default() };
        let letter = Arc::new(Message::new(exchange, key, header, dead.body.clone(), &self.weight));
        self.enqueue(vhost, &targets, &letter, &heeded, now);
        self.drop_entries(&[entry]);
    }
}

/// What happened to a message.
struct Death<'a> {
    queue: &'a str,
    cause: Cause,
    exchange: &'a str,
    key: &'a str,
}

impl Death<'_> {
    /// Whether it would come to a queue where it died before, of age alone each time.
    fn goes_in_circles(&self, target: &str, header: &[u8]) -> bool {
        let headers = message::headers(header);
        let before = deaths(&headers);
        let by_itself =
            self.cause == Cause::Expired && before.iter().all(|death| is(death, "reason", "expired"));
        by_itself && (target == self.queue || before.iter().any(|death| is(death, "queue", target)))
    }

    /// The header with this death in it, and without the time to live of which the message may have died.
    fn written_into(&self, header: &[u8]) -> Vec<u8> {
        message::with_properties(header, |properties| {
            let mut headers = properties.headers().clone().unwrap_or_default();
            let mut deaths = deaths(&headers);
            let same =
                |death: &FieldTable| is(death, "queue", self.queue) && is(death, "reason", self.cause.name());
            match deaths.iter().position(same) {
                Some(at) => {
                    let mut again = deaths.remove(at);
                    let count = match again.inner().get("count") {
                        Some(AMQPValue::LongLongInt(count)) => count + 1,
                        _ => 1,
                    };
                    again.insert("count".into(), AMQPValue::LongLongInt(count));
                    deaths.insert(0, again);
                }
                None => deaths.insert(0, self.record(properties.expiration().as_ref().map(|e| e.as_str()))),
            }
            if !headers.contains_key("x-first-death-reason") {
                for (name, value) in
                    [("reason", self.cause.name()), ("queue", self.queue), ("exchange", self.exchange)]
                {
                    headers.insert(format!("x-first-death-{name}").as_str().into(), text(value));
                }
            }
            let list: Vec<AMQPValue> = deaths.into_iter().map(AMQPValue::FieldTable).collect();
            headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(list)));
            without_expiration(properties).with_headers(headers)
        })
    }

    fn record(&self, expiration: Option<&str>) -> FieldTable {
        let mut death = FieldTable::default();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        death.insert("count".into(), AMQPValue::LongLongInt(1));
        death.insert("reason".into(), text(self.cause.name()));
        death.insert("queue".into(), text(self.queue));
        death.insert("time".into(), AMQPValue::Timestamp(seconds));
        death.insert("exchange".into(), text(self.exchange));
        death.insert("routing-keys".into(), AMQPValue::FieldArray(FieldArray::from(vec![text(self.key)])));
        if let Some(expiration) = expiration {
            death.insert("original-expiration".into(), text(expiration));
        }
        death
    }
}

fn without_expiration(
    properties: amq_protocol::protocol::basic::AMQPProperties,
) -> amq_protocol::protocol::basic::AMQPProperties {
    let mut rest = amq_protocol::protocol::basic::AMQPProperties::default();
    macro_rules! keep {
        ($($get:ident $with:ident),*) => { $(if let Some(value) = properties.$get().clone() { rest = rest.$with(value); })* };
    }
    keep!(
        content_type with_content_type, content_encoding with_content_encoding, delivery_mode with_delivery_mode,
        priority with_priority, correlation_id with_correlation_id, reply_to with_reply_to,
        message_id with_message_id, timestamp with_timestamp, kind with_type, user_id with_user_id,
        app_id with_app_id, cluster_id with_cluster_id
    );
    rest
}

fn deaths(headers: &FieldTable) -> Vec<FieldTable> {
    let Some(AMQPValue::FieldArray(list)) = headers.inner().get("x-death") else { return vec![] };
    let tables = list.as_slice().iter().filter_map(|death| match death {
        AMQPValue::FieldTable(table) => Some(table.clone()),
        _ => None,
    });
    tables.collect()
}

fn is(death: &FieldTable, name: &str, value: &str) -> bool {
    matches!(death.inner().get(name), Some(AMQPValue::LongString(text)) if text.as_bytes() == value.as_bytes())
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
