//! The AMQP connection that survives its broker, and [AIR](rpc), the only RPC.
//!
//! A [`Link`] consumes one work queue and publishes replies, on a connection each, so that a consumer the
//! broker closes cannot hold back a reply. It connects, and connects again, by itself; what happens comes as
//! [`Event`]s. A delivery belongs to one connection: its [`Tag`] says to which, and settling it after that is
//! gone does nothing, as the broker has taken it back already.
#![forbid(unsafe_code)]

pub mod amqp;
mod backoff;
pub mod rpc;

pub use amqp::client::Tls;
pub use amqp::line;
pub use amqp::link::{Delivery, Event, Link, Options, Tag};
