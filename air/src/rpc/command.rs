//! Typed commands, and the ways they fail.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::error::Error;
use std::fmt;

/// The codes that AIR itself answers with. A command may add its own ([`Command::FAULTS`]).
pub mod codes {
    /// There is no such command here.
    pub const UNKNOWN_COMMAND: &str = "UnknownCommand";
    /// An argument is unknown, missing, or of the wrong type; the message names it.
    pub const BAD_ARGUMENTS: &str = "BadArguments";
    /// The request has another version of the wire form, or is not one.
    pub const BAD_REQUEST: &str = "BadRequest";
    /// Something went wrong that the command does not declare; `ref` names it in the server's log.
    pub const INTERNAL: &str = "Internal";
    /// Nobody here has such a workitem in hand.
    pub const NO_SUCH_WORKITEM: &str = "NoSuchWorkitem";
}

/// A command: what it is called, takes and gives.
pub trait Command: 'static {
    /// Its name on the wire.
    const NAME: &'static str;
    /// The version of SkyNET that had it first.
    const SINCE: &'static str;
    /// What it does, in one sentence, for the reference.
    const ABOUT: &'static str;
    /// The codes it may answer with, besides AIR's own. Any other failure is `Internal`.
    const FAULTS: &'static [&'static str] = &[];
    /// Its arguments: a struct whose fields are the arguments' names.
    type Args: Serialize + DeserializeOwned + Send + 'static;
    /// What it answers with.
    type Out: Serialize + DeserializeOwned + Send + 'static;
}

/// A row of the commands' table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// [`Command::NAME`].
    pub name: &'static str,
    /// [`Command::SINCE`].
    pub since: &'static str,
    /// [`Command::ABOUT`].
    pub about: &'static str,
    /// [`Command::FAULTS`].
    pub faults: &'static [&'static str],
}

impl Described {
    /// The row of a command.
    pub const fn of<C: Command>() -> Self {
        Self { name: C::NAME, since: C::SINCE, about: C::ABOUT, faults: C::FAULTS }
    }
}

/// An error as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind, one of [`codes`] or of [`Command::FAULTS`].
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Where the server's log says more: `host:pid:command:id`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Fault {
    /// A fault with neither data nor reference.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: Value::Null, reference: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.reference {
            Some(reference) => write!(f, " (the server's log has more at {reference})"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {}

/// How a command fails.
#[derive(Debug)]
pub enum Failure {
    /// In a way that it declares: goes to the caller as it is.
    Declared(Fault),
    /// In any other way: goes to the log; the caller gets `Internal` and a reference to it.
    Undeclared(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// A declared failure.
    pub fn declared(code: &str, message: impl Into<String>) -> Self {
        Self::Declared(Fault::new(code, message))
    }
}

/// So that `?` in a command turns what it does not expect into `Internal`.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(e: E) -> Self {
        Self::Undeclared(Box::new(e))
    }
}

/// Reads a command's arguments; one that the command does not have is refused by its name.
///
/// # Errors
/// For people: which argument, and what is wrong with it.
pub fn read_args<C: Command>(args: Value) -> Result<C::Args, String> {
    let args = if args.is_null() { Value::Object(serde_json::Map::default()) } else { args };
    if !args.is_object() {
        return Err(format!("{}: args is not an object", C::NAME));
    }
    let mut unknown = vec![];
    let mut track = serde_path_to_error::Track::new();
    let read = {
        let path = serde_path_to_error::Deserializer::new(args, &mut track);
        // A `?` stands for each Option on the way.
        let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(path.to_string().replace(".?", ""));
        C::Args::deserialize(serde_ignored::Deserializer::new(path, &mut ignored))
    };
    if let Some(name) = unknown.first() {
        return Err(format!("{}: unknown argument {name:?}", C::NAME));
    }
    read.map_err(|e| {
        let path = track.path().to_string();
        // With `deny_unknown_fields` serde names the argument itself.
        let place = if path == "." { String::new() } else { format!("argument {path}: ") };
        format!("{}: {place}{e}", C::NAME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Add;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Args {
        a: i64,
        #[serde(default)]
        more: Option<Inner>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        b: bool,
    }
    impl Command for Add {
        const NAME: &'static str = "add";
        const SINCE: &'static str = "0.1";
        const ABOUT: &'static str = "";
        type Args = Args;
        type Out = i64;
    }

    /// "An unknown argument is refused by name."
    #[test]
    fn arguments_are_refused_by_name() {
        for (args, says) in [
            (json!({"a": 1, "bee": 2}), r#"add: unknown argument "bee""#),
            (json!({"a": 1, "more": {"b": true, "c": 1}}), r#"add: unknown argument "more.c""#),
            (json!({}), "add: missing field `a`"),
            (json!({"a": "x"}), r#"add: argument a: invalid type: string "x", expected i64"#),
            (
                json!({"a": 1, "more": {"b": 3}}),
                "add: argument more.b: invalid type: integer `3`, expected a boolean",
            ),
            (json!([1]), "add: args is not an object"),
        ] {
            assert_eq!(read_args::<Add>(args).unwrap_err(), says);
        }
        assert_eq!(read_args::<Add>(json!({"a": 1})).unwrap(), Args { a: 1, more: None });
    }
}
