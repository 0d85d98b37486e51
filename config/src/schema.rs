//! The one table of keys and what each takes.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is not empty.
    Name,
    /// A list of texts.
    Texts,
    /// true or false.
    Bool,
    /// A whole number from this one on.
    Count(i64),
    /// A text like `60s`.
    Duration,
    /// A text like `64M`.
    Size,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A table with these keys.
    Table(&'static [(&'static str, Kind)]),
    /// A table whose keys are the participant's, with values checked elsewhere.
    Fields,
}

impl Kind {
    /// What to write, for an error message.
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Name => "a text in quotes".into(),
            Self::Texts => "a list of texts".into(),
            Self::Bool => "true or false".into(),
            Self::Count(least) => format!("a whole number from {least} on"),
            Self::Duration => "a duration like \"60s\"".into(),
            Self::Size => "a size like \"64M\"".into(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Table(_) | Self::Fields => "a table".into(),
        }
    }
}

/// The keys at the top of boss.conf and config.exo.
pub const KEYS: &[(&str, Kind)] = &[
    ("name", Kind::Name),
    ("queue", Kind::Name),
    ("regexp", Kind::Name),
    ("code", Kind::Name),
    ("exec", Kind::Texts),
    ("python", Kind::Name),
    ("user", Kind::Name),
    ("state", Kind::Name),
    ("concurrency", Kind::Count(1)),
    ("instances", Kind::Count(1)),
    ("prefetch", Kind::Count(0)),
    ("grace", Kind::Duration),
    ("soft_timeout", Kind::Duration),
    ("hard_timeout", Kind::Duration),
    ("journal_sync", Kind::Bool),
    ("no_new_privs", Kind::Bool),
    ("max_attempts", Kind::Count(1)),
    ("max_workitems", Kind::Count(0)),
    ("max_rss", Kind::Size),
    ("max_body", Kind::Size),
    ("error_class", Kind::Name),
    ("queue_type", Kind::OneOf(&["classic", "quorum"])),
    ("exoskeleton", Kind::Text),
    ("log_format", Kind::OneOf(&["text", "json"])),
    ("amqp", Kind::Table(AMQP)),
    ("history", Kind::Table(&[("keep", Kind::Duration)])),
    ("failed", Kind::Table(&[("max", Kind::Count(1)), ("size", Kind::Size)])),
    ("notify", Kind::Table(&[("command", Kind::Texts)])),
    ("fields", Kind::Fields),
];

const AMQP: &[(&str, Kind)] = &[
    ("url", Kind::Name),
    ("urls", Kind::Texts),
    ("tls", Kind::Table(&[("ca", Kind::Name), ("cert", Kind::Name), ("key", Kind::Name)])),
];

/// The keys of one field in `[fields]`.
pub const FIELD: &[(&str, Kind)] = &[
    ("type", Kind::OneOf(&["string", "number", "integer", "boolean", "list", "dict"])),
    ("required", Kind::Bool),
    ("pattern", Kind::Text),
];
