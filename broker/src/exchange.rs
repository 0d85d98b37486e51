//! Exchanges: which queues a message goes to.

use amq_protocol::types::{AMQPValue, FieldTable};

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To queues bound with exactly its routing key.
    Direct,
    /// To all bound queues.
    Fanout,
    /// To queues whose binding, with `*` for a word and `#` for any number of words, matches.
    Topic,
    /// To queues whose binding's arguments match the message's headers, all or (`x-match` = any) one of them.
    Headers,
}

/// What sends messages of an exchange to a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The queue.
    pub queue: String,
    /// The pattern, or what must be the routing key.
    pub key: String,
    /// What the headers must hold.
    pub arguments: FieldTable,
}

impl Kind {
    /// Reads the name of a kind.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "direct" => Some(Self::Direct),
            "fanout" => Some(Self::Fanout),
            "topic" => Some(Self::Topic),
            "headers" => Some(Self::Headers),
            _ => None,
        }
    }

    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }

    /// Whether a binding takes a message with this key and these headers.
    pub fn takes(self, binding: &Binding, key: &str, headers: &FieldTable) -> bool {
        match self {
            Self::Direct => binding.key == key,
            Self::Fanout => true,
            Self::Topic => {
                let (pattern, key): (Vec<_>, Vec<_>) = (words(&binding.key).collect(), words(key).collect());
                topic(&pattern, &key)
            }
            Self::Headers => headers_match(&binding.arguments, headers),
        }
    }
}

/// An exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// How it routes.
    pub kind: Kind,
    /// Whether it survives a restart.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Its bindings, oldest first.
    pub bindings: Vec<Binding>,
}

impl Exchange {
    /// The queues that a message with this key and these headers goes to, each once.
    pub fn route(&self, key: &str, headers: &FieldTable) -> Vec<String> {
        let mut queues: Vec<String> = vec![];
        for binding in &self.bindings {
            if self.kind.takes(binding, key, headers) && !queues.contains(&binding.queue) {
                queues.push(binding.queue.clone());
            }
        }
        queues
    }
}

/// Arguments that begin with `x-` ask for nothing; one without a value asks only that the header is there.
fn headers_match(arguments: &FieldTable, headers: &FieldTable) -> bool {
    let any = matches!(arguments.inner().get("x-match"), Some(AMQPValue::LongString(how)) if how.as_bytes() == b"any");
    let mut asked = arguments.inner().iter().filter(|(name, _)| !name.as_str().starts_with("x-"));
    let has = |(name, value): (&amq_protocol::types::ShortString, &AMQPValue)| {
        headers.inner().get(name).is_some_and(|is| *value == AMQPValue::Void || is == value)
    };
    if any { asked.any(has) } else { asked.all(has) }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(|_| !text.is_empty())
}

fn topic(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), _) => (0..=key.len()).any(|skip| topic(rest, &key[skip..])),
        (Some((&"*", rest)), Some((_, key))) => topic(rest, key),
        (Some((word, rest)), Some((first, key))) => word == first && topic(rest, key),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(queue: &str, key: &str) -> Binding {
        Binding { queue: queue.into(), key: key.into(), arguments: FieldTable::default() }
    }

    fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    #[test]
    fn headers_match_all_or_any() {
        let (one, two, void) = (AMQPValue::LongInt(1), AMQPValue::LongInt(2), AMQPValue::Void);
        let (all, any) = (AMQPValue::LongString("all".into()), AMQPValue::LongString("any".into()));
        let headers = table(&[("a", one.clone()), ("b", two.clone())]);
        for (arguments, expected) in [
            (table(&[]), true),
            (table(&[("x-match", any.clone())]), false),
            (table(&[("a", one.clone())]), true),
            (table(&[("a", two.clone())]), false),
            (table(&[("x-match", all), ("a", one.clone()), ("b", one.clone())]), false),
            (table(&[("x-match", any), ("a", one), ("b", two)]), true),
            (table(&[("a", void.clone())]), true),
            (table(&[("c", void)]), false),
        ] {
            assert_eq!(headers_match(&arguments, &headers), expected, "{arguments:?}");
        }
    }

    #[test]
    fn topics_match_by_words() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#.z", "a.b.c.z", true),
            ("a.#.z", "a.b.c", false),
            ("wfid.#", "wfid.w-1", true),
        ] {
            let taken = Kind::Topic.takes(&binding("q", pattern), key, &FieldTable::default());
            assert_eq!(taken, expected, "{pattern} {key}");
        }
    }

    #[test]
    fn a_queue_bound_twice_gets_a_message_once() {
        let bindings = vec![binding("q", "k"), binding("q", "#"), binding("r", "x")];
        let exchange = Exchange { kind: Kind::Topic, durable: false, auto_delete: false, bindings };
        assert_eq!(exchange.route("k", &FieldTable::default()), ["q"]);
    }
}
