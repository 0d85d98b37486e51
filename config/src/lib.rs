//! The settings of a participant: `boss.conf` first, `config.exo` on top, both TOML.
//!
//! | module | what |
//! |---|---|
//! | [`home`] | where things lie, system-wide or under `$SKYNET_HOME` |
//! | [`schema`] | the one table of keys and what each takes |
//! | [`file`] | a file checked against the schema; errors name file, line and nearest known key |
//! | [`names`] | what may be called what |
//! | [`paths`] | relative paths count from the file that says them |
//! | [`units`] | `60s`, `64M` |
//! | [`settings`] | the effective settings |
#![forbid(unsafe_code)]

pub mod file;
pub mod home;
pub mod names;
pub mod paths;
pub mod schema;
pub mod settings;
pub mod units;

pub use file::ConfigError;
pub use home::Home;
pub use settings::{Settings, load};
