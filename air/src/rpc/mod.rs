//! AIR, the only RPC: how anything asks anything over the broker.
//!
//! A request goes to the topic exchange `air.request` by a routing key ([`Target`]); whoever serves that key
//! answers to the caller's own queue through the direct exchange `air.response`. A client is a routing key, never
//! a connection that may be dead. Every call has a deadline; nothing waits for ever.
//!
//! | module | idea |
//! |---|---|
//! | [`command`] | typed commands and the ways they fail |
//! | [`target`] | whom a request is for |
//! | [`message`] | the wire form |
//! | [`carrier`] | what AIR needs of a broker |
//! | [`memory`] | a carrier without a broker, for tests |
//! | [`caller`] | asks: `call` and `gather` |
//! | [`service`] | answers |
//! | [`workitems`] | the commands about workitems in hand: `status` and `cancel` |

pub mod caller;
pub mod carrier;
pub mod command;
mod gather;
pub mod memory;
pub mod message;
pub mod service;
pub mod target;
pub mod workitems;

pub use caller::{Caller, Unanswered};
pub use carrier::{Broken, Carrier, Exchange, Inbox};
pub use command::{Command, Described, Failure, Fault, codes};
pub use gather::{Answer, Gather};
pub use message::Message;
pub use service::{Asked, Service};
pub use target::Target;

#[cfg(test)]
mod tests;
