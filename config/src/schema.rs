//! The one table of keys: what each takes, its default, what it means. The reference page is made from it.

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
    /// A regular expression.
    Pattern,
    /// A command: a program, if there is one, and its arguments.
    Command,
    /// A program and its arguments.
    Program,
    /// What Ruby calls a class.
    RubyClass,
    /// true or false.
    Bool,
    /// A whole number from the first to the second.
    Count(i64, i64),
    /// A text like `60s`.
    Duration,
    /// A text like `64M`, of at least so many bytes.
    Size(u64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `module:Class`, or nothing.
    Class,
    /// A table with these keys and no others.
    Table(&'static [Key]),
    /// A table with these keys, in which the participant may have keys of its own.
    Open(&'static [Key]),
    /// A table whose keys are the participant's, with values checked elsewhere.
    Fields,
}

impl Kind {
    /// Whether it is a table of any kind.
    pub fn is_table(self) -> bool {
        matches!(self, Self::Table(_) | Self::Open(_) | Self::Fields)
    }

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
            Self::Pattern => "a regular expression like \"^[a-z]+$\"".into(),
            Self::Command | Self::Program => "a list of texts like [\"./work\", \"--fast\"]".into(),
            Self::RubyClass => "a class of Ruby's like \"RuntimeError\"".into(),
            Self::Bool => "true or false".into(),
            Self::Count(least, MANY) => format!("a whole number from {least} on"),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration => "a duration like \"60s\"".into(),
            Self::Size(0) => "a size like \"64M\"".into(),
            Self::Size(_) => "a size like \"64M\" above 0".into(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Class => "a class like \"module:Class\"".into(),
            Self::Table(_) | Self::Open(_) | Self::Fields => "a table".into(),
        }
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default, in words or as it would be written.
    pub default: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

/// No limit but that of the type.
const MANY: i64 = u32::MAX as i64;

/// The keys at the top of boss.conf and config.exo.
pub const KEYS: &[Key] = &[
    key("name", Kind::Participant, "the folder's name, without @NUMBER", "The participant."),
    key("queue", Kind::Queue, "name", "The queue that its workitems come from."),
    key(
        "regexp",
        Kind::Name,
        "name",
        "The names under which processes call it, told to BOSS when it is registered.",
    ),
    key("code", Kind::Name, "\"NAME.py\"", "The handler's file."),
    key("exec", Kind::Program, "", "A program that works in a handler's place, with its arguments."),
    key(
        "python",
        Kind::Name,
        "\"python3\"",
        "The interpreter: a name on PATH, or a path, as of a virtualenv's.",
    ),
    key(
        "user",
        Kind::Name,
        "\"boss\", without such an account \"nobody\"",
        "Whom to become when started as root. \"root\" must be written out.",
    ),
    key(
        "state",
        Kind::Name,
        "participants/NAME of the tree",
        "The folder for journal, failed store and history.",
    ),
    key(
        "concurrency",
        Kind::Count(1, u16::MAX as i64),
        "1",
        "Workitems at a time. More than 1 is for handlers that are made for threads.",
    ),
    key("instances", Kind::Count(1, MANY), "1", "Processes that share the work."),
    key(
        "prefetch",
        Kind::Count(0, u16::MAX as i64),
        "0",
        "Workitems that the broker sends ahead; 0 = as many as concurrency.",
    ),
    key("grace", Kind::Duration, "\"60s\"", "Time to finish what runs when told to stop."),
    key(
        "soft_timeout",
        Kind::Duration,
        "\"0s\"",
        "After so long a handler is told to stop as by skynet wi cancel --force; 0 = never.",
    ),
    key(
        "hard_timeout",
        Kind::Duration,
        "\"0s\"",
        "After so long a workitem is answered with an error, and its handler's process or program ended; 0 = never.",
    ),
    key("journal_sync", Kind::Bool, "false", "Whether the journal survives a loss of power too."),
    key(
        "no_new_privs",
        Kind::Bool,
        "false",
        "Whether no program that the handler runs may gain privileges (setuid).",
    ),
    key(
        "max_attempts",
        Kind::Count(1, MANY),
        "3",
        "How often a workitem may take the process down before it is answered with an error.",
    ),
    key(
        "max_workitems",
        Kind::Count(0, MANY),
        "0",
        "After so many workitems the process finishes what runs and starts afresh; 0 = never.",
    ),
    key(
        "max_rss",
        Kind::Size(0),
        "\"0\"",
        "Above so much memory after a workitem, exo's process finishes what runs and starts afresh; 0 = never.",
    ),
    key(
        "max_body",
        Kind::Size(1),
        "\"64M\"",
        "Larger messages are parked in the failed store, and answered with an error.",
    ),
    key("error_class", Kind::RubyClass, "\"RuntimeError\"", "The class of error replies. Ruby must know it."),
    key("queue_type", Kind::OneOf(&["classic", "quorum"]), "\"classic\"", "How the queue is declared."),
    key("exoskeleton", Kind::Class, "\"\"", "A subclass of SkyNET.Exo to use in its place."),
    key("log_format", Kind::OneOf(&["text", "json"]), "\"text\"", "The form of the log's lines."),
    key("amqp", Kind::Table(AMQP), "", "The broker."),
    key("history", Kind::Open(HISTORY), "", "The history of workitems."),
    key("failed", Kind::Open(FAILED), "", "The store of workitems that failed."),
    key("notify", Kind::Open(NOTIFY), "", "Who is told of trouble."),
    key("fields", Kind::Fields, "", "What the fields of a workitem must be: a table for each field."),
];

const AMQP: &[Key] = &[
    key("url", Kind::Url, "\"amqp://boss:boss@127.0.0.1:5672/boss\"", "The broker."),
    key("urls", Kind::Urls, "", "The nodes of a cluster, tried in this order."),
    key("tls", Kind::Table(TLS), "", "Certificates for amqps."),
];

const TLS: &[Key] = &[
    key("ca", Kind::Name, "the system's", "The authority that signed the broker's certificate, a file."),
    key("cert", Kind::Name, "", "Our certificate, a file."),
    key("key", Kind::Name, "", "Its key, a file."),
];

const HISTORY: &[Key] = &[key("keep", Kind::Duration, "\"90d\"", "How long a row is kept.")];

const FAILED: &[Key] = &[
    key("max", Kind::Count(1, MANY), "1000", "How many workitems are kept; the oldest goes."),
    key("size", Kind::Size(0), "\"1G\"", "How much room they may take."),
];

const NOTIFY: &[Key] = &[key("command", Kind::Command, "[]", "The command that is run, with its arguments.")];

/// The keys of one field in `[fields]`.
pub const FIELD: &[Key] = &[
    key(
        "type",
        Kind::OneOf(&["string", "number", "integer", "boolean", "list", "dict"]),
        "any",
        "What the field must be where it is there.",
    ),
    key("required", Kind::Bool, "false", "Whether it must be there, and not null."),
    key("pattern", Kind::Pattern, "", "What a text must match, somewhere in it."),
];

#[cfg(test)]
mod tests;
