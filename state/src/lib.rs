//! A participant's state folder: what must not be lost when a process ends, and what people look at.
//!
//! ```text
//! participants/NAME/journal/   what each exo process has in hand: survives kill -9
//!                   failed/    a folder for each workitem that failed, with all there is to know
//!                   history.db a row for each workitem that was handled (SQLite)
//!                   live/      a small file for each running exo: what it does now
//!                   lines/     the last log lines of the workitems in hand: survive kill -9
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`journal`] | written by exo before it starts a handler and before it publishes a reply |
//! | [`failed`] | kept, listed, shown, retried, dropped |
//! | [`history`] | written by one thread in batches; questions about time, numbers and problems |
//! | [`lines`] | what a handler said of the workitem in hand, for whoever comes after it |
//! | [`live`] | what an exo process does now, for `skynet status` |
//! | [`machine_id`] | which boot of the machine, which process: what a journal's owner is known by |
//! | [`moment`] | points of time as they are stored |
#![forbid(unsafe_code)]

pub mod failed;
pub mod history;
pub mod journal;
pub mod lines;
pub mod live;
#[cfg(test)]
mod locks;
pub mod machine_id;
pub mod moment;

pub use moment::Micros;
