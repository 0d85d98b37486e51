//! Workitems on the wire: what the engine sends, what goes back. Parsing and writing only, no I/O.
//!
//! | module | what |
//! |---|---|
//! | [`incoming`] | a message on a work queue: a workitem, a cancelitem, or unusable |
//! | [`fei`] | the flow expression id, which names a workitem |
//! | [`reply`] | what is sent back when the handler could not write it |
//! | [`answer`] | what a program answers: the workitem, or what it changed of the fields |
//! | [`fields`] | whether the fields are as the participant asks for |
//! | [`compose`] | a workitem as the engine would send it |
//! | [`entries`] | a JSON object as its entries, values unread |
//! | [`names`] | names from the wire that become part of a path or routing key |
//!
//! Everything that is not read here passes through byte for byte: numbers keep their spelling, unknown keys
//! their place.
#![forbid(unsafe_code)]

pub mod answer;
pub mod compose;
pub mod entries;
pub mod fei;
pub mod fields;
pub mod incoming;
pub mod names;
pub mod reply;

pub use fei::Fei;
pub use incoming::{CancelItem, Header, Incoming, Unusable, forget, parse};
pub use names::safe_name;
pub use reply::{ErrorInfo, with_error};
