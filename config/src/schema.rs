//! The one table of keys and what each takes.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is not empty.
    Name,
    /// What a participant may be called.
    Participant,
    /// What a queue may be called.
    Queue,
    /// The URL of a broker.
    Url,
    /// URLs of brokers, at least one.
    Urls,
    /// A list of texts.
    Texts,
    /// true or false.
    Bool,
    /// A whole number from the first to the second.
    Count(i64, i64),
    /// A text like `60s`.
    Duration,
    /// A text like `64M`.
    Size,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A table with these keys and no others.
    Table(&'static [(&'static str, Kind)]),
    /// A table with these keys, in which the participant may have keys of its own.
    Open(&'static [(&'static str, Kind)]),
    /// A table whose keys are the participant's, with values checked elsewhere.
    Fields,
}

impl Kind {
    /// What to write, for an error message.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text in quotes".into(),
            Self::Name => "a text that is not empty".into(),
            Self::Participant => {
                "a text in quotes that can name a participant (no slash, @ or control character, no leading dot, at most 200 bytes)".into()
            }
            Self::Queue => {
                "a text in quotes that can name a queue (no control character, not beginning with amq., 1 to 255 bytes)".into()
            }
            Self::Url => "the URL of a broker like \"amqp://USER:PASSWORD@HOST:5672/VHOST\"".into(),
            Self::Urls => "a list of URLs of brokers like [\"amqps://USER:PASSWORD@HOST/VHOST\"]".into(),
            Self::Texts => "a list of texts".into(),
            Self::Bool => "true or false".into(),
            Self::Count(least, MANY) => format!("a whole number from {least} on"),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration => "a duration like \"60s\"".into(),
            Self::Size => "a size like \"64M\"".into(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Table(_) | Self::Open(_) | Self::Fields => "a table".into(),
        }
    }
}

/// No limit but that of the type.
const MANY: i64 = u32::MAX as i64;

/// The keys at the top of boss.conf and config.exo.
pub const KEYS: &[(&str, Kind)] = &[
    ("name", Kind::Participant),
    ("queue", Kind::Queue),
    ("regexp", Kind::Name),
    ("code", Kind::Name),
    ("exec", Kind::Texts),
    ("python", Kind::Name),
    ("user", Kind::Name),
    ("state", Kind::Name),
    ("concurrency", Kind::Count(1, MANY)),
    ("instances", Kind::Count(1, MANY)),
    ("prefetch", Kind::Count(0, u16::MAX as i64)),
    ("grace", Kind::Duration),
    ("soft_timeout", Kind::Duration),
    ("hard_timeout", Kind::Duration),
    ("journal_sync", Kind::Bool),
    ("no_new_privs", Kind::Bool),
    ("max_attempts", Kind::Count(1, MANY)),
    ("max_workitems", Kind::Count(0, MANY)),
    ("max_rss", Kind::Size),
    ("max_body", Kind::Size),
    ("error_class", Kind::Name),
    ("queue_type", Kind::OneOf(&["classic", "quorum"])),
    ("exoskeleton", Kind::Text),
    ("log_format", Kind::OneOf(&["text", "json"])),
    ("amqp", Kind::Table(AMQP)),
    ("history", Kind::Open(&[("keep", Kind::Duration)])),
    ("failed", Kind::Open(&[("max", Kind::Count(1, MANY)), ("size", Kind::Size)])),
    ("notify", Kind::Open(&[("command", Kind::Texts)])),
    ("fields", Kind::Fields),
];

const AMQP: &[(&str, Kind)] = &[
    ("url", Kind::Url),
    ("urls", Kind::Urls),
    ("tls", Kind::Table(&[("ca", Kind::Name), ("cert", Kind::Name), ("key", Kind::Name)])),
];

/// The keys of one field in `[fields]`.
pub const FIELD: &[(&str, Kind)] = &[
    ("type", Kind::OneOf(&["string", "number", "integer", "boolean", "list", "dict"])),
    ("required", Kind::Bool),
    ("pattern", Kind::Text),
];
