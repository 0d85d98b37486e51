//! The history of a participant: one row for each workitem that was handled, in SQLite.
//!
//! | module | what |
//! |---|---|
//! | [`row`] | a row |
//! | [`schema`] | the tables of `history.db` |
//! | [`writer`] | the thread that writes |
//! | [`query`] | how long, how often, how many problems |

pub mod query;
pub mod row;
mod schema;
pub mod writer;

pub use query::{Filter, History, Order, Quantiles, Stats};
pub use row::{Outcome, Row};
pub use writer::{Writer, fill};

/// Its file in the state folder.
pub const FILE: &str = "history.db";
