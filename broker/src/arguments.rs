//! What a queue is declared with: the table of arguments, those that the broker heeds, and whether a second
//! declaration asks for the same.

use crate::fault::Fault;
use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::parse_field_table;
use amq_protocol::types::{AMQPValue, FieldTable};
use std::time::Duration;

/// Those that RabbitMQ compares when a queue is declared again, and we with it.
const COMPARED: [&str; 12] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-type",
    "x-single-active-consumer",
    "x-queue-version",
];

/// A queue's arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    table: FieldTable,
    /// How long a message may wait (`x-message-ttl`).
    pub ttl: Option<Duration>,
    /// How long the queue may be without use (`x-expires`).
    pub expires: Option<Duration>,
    /// The exchange that gets what was thrown away or became too old (`x-dead-letter-exchange`).
    pub dead_letters: Option<String>,
    /// The routing key it gets that with (`x-dead-letter-routing-key`); `None` = the message's own.
    pub dead_letter_key: Option<String>,
}

impl Arguments {
    /// Reads a table.
    ///
    /// # Errors
    /// 406 where a value that the broker heeds is not what it must be.
    pub fn new(table: &FieldTable, queue: &str, vhost: &str) -> Result<Self, Fault> {
        let duration = |name: &str, least: i128| match table.inner().get(name) {
            None => Ok(None),
            Some(value) => match number(value) {
                Some(ms) if ms >= least => {
                    Ok(Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))))
                }
                _ => Err(Fault::precondition(&format!(
                    "invalid arg '{name}' for queue '{queue}' in vhost '{vhost}': {}",
                    complaint(value)
                ))),
            },
        };
        let text = |name: &str| match table.inner().get(name) {
            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
            _ => None,
        };
        Ok(Self {
            dead_letters: text("x-dead-letter-exchange"),
            dead_letter_key: text("x-dead-letter-routing-key"),
            table: table.clone(),
            ttl: duration("x-message-ttl", 0)?,
            expires: duration("x-expires", 1)?,
        })
    }

    /// Whether something becomes due by itself.
    pub fn have_deadlines(&self) -> bool {
        self.ttl.is_some() || self.expires.is_some() || self.dead_letters.is_some()
    }

    /// Reads what [`Arguments::to_bytes`] wrote; nothing where it cannot be read.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&table_from_bytes(bytes), "", "").unwrap_or_default()
    }

    /// The table in the protocol's own form.
    pub fn to_bytes(&self) -> Vec<u8> {
        table_to_bytes(&self.table)
    }

    /// Whether a queue with these arguments may be declared again with `asked`.
    ///
    /// # Errors
    /// 406 with the first argument that differs.
    pub fn accept(&self, asked: &Self, queue: &str, vhost: &str) -> Result<(), Fault> {
        for name in COMPARED {
            let (is, asked) = (self.table.inner().get(name), asked.table.inner().get(name));
            let classic = |value: Option<&AMQPValue>| match value {
                None => true,
                Some(AMQPValue::LongString(text)) => name == "x-queue-type" && text.as_bytes() == b"classic",
                Some(_) => false,
            };
            let same = match (is, asked) {
                (Some(a), Some(b)) => a == b || number(a).is_some() && number(a) == number(b),
                (a, b) => classic(a) && classic(b),
            };
            if !same {
                if let (Some(is), Some(asked)) = (is, asked)
                    && kind(is) == kind(asked)
                {
                    return Err(Fault::inequivalent(name, "queue", queue, vhost, &text(asked), &text(is)));
                }
                return Err(Fault::precondition(&format!(
                    "inequivalent arg '{name}' for queue '{queue}' in vhost '{vhost}': received {} but current is {}",
                    asked.map_or("none".to_owned(), described),
                    is.map_or("none".to_owned(), described)
                )));
            }
        }
        Ok(())
    }
}

/// A table in the protocol's own form.
pub fn table_to_bytes(table: &FieldTable) -> Vec<u8> {
    let context = amq_protocol::frame::WriteContext::from(vec![]);
    // Writing to memory does not fail for a table that came over the wire.
    gen_field_table(table)(context).map(|written| written.into_inner().0).unwrap_or_default()
}

/// Reads what [`table_to_bytes`] wrote; nothing where it cannot be read.
pub fn table_from_bytes(bytes: &[u8]) -> FieldTable {
    parse_field_table(bytes).map(|(_, table)| table).unwrap_or_default()
}

fn described(value: &AMQPValue) -> String {
    format!("the value '{}' of type '{}'", text(value), kind(value))
}

fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::Boolean(yes) => yes.to_string(),
        other => number(other).map_or_else(|| format!("{other:?}"), |n| n.to_string()),
    }
}

/// RabbitMQ's names of types.
fn kind(value: &AMQPValue) -> &'static str {
    match value {
        AMQPValue::LongString(_) | AMQPValue::ShortString(_) => "longstr",
        AMQPValue::Boolean(_) => "bool",
        AMQPValue::LongLongInt(_) => "long",
        AMQPValue::FieldTable(_) => "table",
        AMQPValue::FieldArray(_) => "array",
        AMQPValue::Void => "void",
        _ => "signedint",
    }
}

fn complaint(value: &AMQPValue) -> String {
    match number(value) {
        Some(n) if n < 0 => format!("{{value_negative,{n}}}"),
        Some(n) => format!("{{value_zero,{n}}}"),
        None => format!("\"expected integer, got {}\"", kind(value)),
    }
}

fn number(value: &AMQPValue) -> Option<i128> {
    Some(match value {
        AMQPValue::ShortShortInt(n) => (*n).into(),
        AMQPValue::ShortShortUInt(n) => (*n).into(),
        AMQPValue::ShortInt(n) => (*n).into(),
        AMQPValue::ShortUInt(n) => (*n).into(),
        AMQPValue::LongInt(n) => (*n).into(),
        AMQPValue::LongUInt(n) => (*n).into(),
        AMQPValue::LongLongInt(n) => (*n).into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn arguments(pairs: &[(&str, AMQPValue)]) -> Arguments {
        Arguments::new(&table(pairs), "q", "/").unwrap()
    }

    #[test]
    fn times_are_read_and_nonsense_is_refused() {
        let read =
            arguments(&[("x-message-ttl", AMQPValue::LongInt(5)), ("x-expires", AMQPValue::LongLongInt(7))]);
        assert_eq!(
            (read.ttl, read.expires),
            (Some(Duration::from_millis(5)), Some(Duration::from_millis(7)))
        );
        for wrong in [
            ("x-expires", AMQPValue::LongInt(0)),
            ("x-message-ttl", AMQPValue::LongInt(-1)),
            ("x-message-ttl", AMQPValue::LongString("soon".into())),
        ] {
            assert_eq!(
                Arguments::new(&table(std::slice::from_ref(&wrong)), "q", "/").unwrap_err().code,
                406,
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_queue_is_declared_again_with_the_same_arguments_only() {
        let none = arguments(&[]);
        let classic = arguments(&[("x-queue-type", AMQPValue::LongString("classic".into()))]);
        let quorum = arguments(&[("x-queue-type", AMQPValue::LongString("quorum".into()))]);
        let ttl = |ms| arguments(&[("x-message-ttl", AMQPValue::LongInt(ms))]);
        let wide = arguments(&[("x-message-ttl", AMQPValue::LongLongInt(5))]);
        let other = arguments(&[("x-whatever", AMQPValue::LongInt(1))]);
        for (is, asked, accepted) in [
            (&none, &none, true),
            (&none, &classic, true),
            (&none, &quorum, false),
            (&quorum, &none, false),
            (&ttl(5), &ttl(5), true),
            (&ttl(5), &wide, true),
            (&ttl(5), &ttl(6), false),
            (&none, &other, true),
        ] {
            assert_eq!(is.accept(asked, "q", "/").is_ok(), accepted, "{is:?} {asked:?}");
        }
    }

    #[test]
    fn arguments_survive_as_bytes() {
        let some = arguments(&[
            ("x-message-ttl", AMQPValue::LongInt(5)),
            ("note", AMQPValue::LongString("n".into())),
        ]);
        assert_eq!(Arguments::from_bytes(&some.to_bytes()), some);
        assert_eq!(Arguments::from_bytes(b"\xff\xff"), Arguments::default());
    }
}
