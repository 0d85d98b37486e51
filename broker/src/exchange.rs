//! Exchanges: which queues a message goes to.

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To queues bound with exactly its routing key.
    Direct,
    /// To all bound queues.
    Fanout,
    /// To queues whose binding, with `*` for a word and `#` for any number of words, matches.
    Topic,
}

impl Kind {
    /// Reads the name of a kind.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "direct" => Some(Self::Direct),
            "fanout" => Some(Self::Fanout),
            "topic" => Some(Self::Topic),
            _ => None,
        }
    }

    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }

    /// Whether a binding with `pattern` takes a message with `key`.
    pub fn takes(self, pattern: &str, key: &str) -> bool {
        match self {
            Self::Direct => pattern == key,
            Self::Fanout => true,
            Self::Topic => {
                let (pattern, key): (Vec<_>, Vec<_>) = (words(pattern).collect(), words(key).collect());
                topic(&pattern, &key)
            }
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
    /// Queue and pattern of each binding.
    pub bindings: Vec<(String, String)>,
}

impl Exchange {
    /// The queues that a message with this key goes to, each once.
    pub fn route(&self, key: &str) -> Vec<String> {
        let mut queues: Vec<String> = vec![];
        for (queue, pattern) in &self.bindings {
            if self.kind.takes(pattern, key) && !queues.contains(queue) {
                queues.push(queue.clone());
            }
        }
        queues
    }
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
            assert_eq!(Kind::Topic.takes(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn a_queue_bound_twice_gets_a_message_once() {
        let bindings = vec![("q".into(), "k".into()), ("q".into(), "#".into()), ("r".into(), "x".into())];
        let exchange = Exchange { kind: Kind::Topic, durable: false, auto_delete: false, bindings };
        assert_eq!(exchange.route("k"), ["q"]);
    }
}
