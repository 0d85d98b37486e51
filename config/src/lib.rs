//! The settings of a participant: `boss.conf` first, `config.exo` on top, both TOML; and the files of the original.
//!
//! | module | what |
//! |---|---|
//! | [`home`] | where things lie, system-wide or under `$SKYNET_HOME` |
//! | [`layers`] | which files are read, in which order |
//! | [`schema`] | the one table of keys and what each takes |
//! | [`file`] | a file checked against the schema; errors name file, line and nearest known key |
//! | `value` | a value: whether it is what its key takes, how it is told, what it becomes |
//! | [`ini`] | the form of the original's files |
//! | [`original`] | which of the original's keys are ours |
//! | [`address`] | the broker's address: one URL, or four keys |
//! | [`names`] | what may be called what |
//! | [`paths`] | relative paths count from the file that says them |
//! | [`units`] | `60s`, `64M` |
//! | [`explain`] | the effective settings for people, each with the file it came from |
//! | [`syntax`] | what is no TOML, in words for people |
//! | [`settings`] | the effective settings |
//! | [`together`] | what may not stand beside what |
//! | [`handler`] | whether what does the work is there |
//! | [`certificates`] | whether the files of `[amqp.tls]` are there |
#![forbid(unsafe_code)]

pub mod address;
pub mod certificates;
pub mod explain;
pub mod file;
pub mod handler;
pub mod home;
pub mod ini;
pub mod layers;
pub mod names;
pub mod original;
pub mod paths;
pub mod schema;
pub mod settings;
pub mod syntax;
pub mod together;
pub mod units;
mod value;

pub use file::ConfigError;
pub use home::Home;
pub use settings::{Settings, load};
