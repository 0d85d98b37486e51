//! One value of a file: whether it is what its key takes, how it is told, and what it becomes.

use crate::schema::Kind;
use crate::{names, units};
use toml::de::DeValue;

/// What is wrong with it, where it is not what the key takes.
pub fn complaint(name: &str, kind: Kind, value: &DeValue<'_>) -> Option<String> {
    let reason = || format!("{name} takes {}, not {}", kind.expected(), describe(value));
    (!fits(kind, value)).then(reason)
}

fn fits(kind: Kind, value: &DeValue<'_>) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Text => text.is_some(),
        Kind::Name => text.is_some_and(|t| !t.is_empty()),
        Kind::Participant => text.is_some_and(names::is_participant),
        Kind::Queue => text.is_some_and(names::is_queue),
        Kind::Url => text.is_some_and(names::is_broker),
        Kind::Urls => value.as_array().is_some_and(|list| {
            !list.is_empty() && list.iter().all(|v| v.get_ref().as_str().is_some_and(names::is_broker))
        }),
        Kind::Command => value.as_array().is_some_and(|list| {
            list.iter().all(|v| v.get_ref().is_str())
                && list.first().is_none_or(|v| v.get_ref().as_str() != Some(""))
        }),
        Kind::Program => fits(Kind::Command, value) && value.as_array().is_some_and(|list| !list.is_empty()),
        Kind::RubyClass => text.is_some_and(names::is_ruby_class),
        Kind::Bool => value.is_bool(),
        Kind::Count(least, most) => integer(value).is_some_and(|n| (least..=most).contains(&n)),
        Kind::Duration => text.is_some_and(|t| units::duration(t).is_some()),
        Kind::Size(least) => text.and_then(units::size).is_some_and(|bytes| bytes >= least),
        Kind::OneOf(words) => text.is_some_and(|t| words.contains(&t)),
        Kind::Pattern => text.is_some_and(|t| regex::Regex::new(t).is_ok()),
        Kind::Class => text.is_some_and(names::is_class),
        Kind::Table(_) | Kind::Open(_) | Kind::Fields => false,
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// What stands there. A text that may be a URL is not shown: it may hold a password.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.contains(['@', '/']) => "this text".into(),
        DeValue::String(text) => format!("\"{}\"", text.escape_debug()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Array(_) => "this list".into(),
        DeValue::Table(_) => "a table".into(),
        other => format!("a {}", other.type_str()),
    }
}

/// The value without its positions. What JSON has no form for becomes a text: the settings travel as JSON.
pub fn convert(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(n) => {
            integer(value).map_or_else(|| toml::Value::String(n.as_str().to_owned()), toml::Value::Integer)
        }
        DeValue::Float(n) => match n.as_str().replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() => toml::Value::Float(number),
            _ => toml::Value::String(n.as_str().to_owned()),
        },
        DeValue::Boolean(b) => toml::Value::Boolean(*b),
        DeValue::Datetime(t) => toml::Value::String(t.to_string()),
        DeValue::Array(list) => toml::Value::Array(list.iter().map(|v| convert(v.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(k, v)| (k.get_ref().to_string(), convert(v.get_ref()))).collect(),
        ),
    }
}
