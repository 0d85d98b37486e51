//! A client for AMQP 0-9-1: as much of it as exo, AIR and the commands need, on the frames of amq-protocol.
//!
//! Everything of a connection happens on one task of the runtime that opened it, so that with a runtime of one thread
//! no message changes threads, and what is sent in one go goes out in one write. Why it is no library:
//! docs/ARCHITECTURE.md.
//!
//! | module | idea |
//! |---|---|
//! | [`connection`] | a connection: opened, watched, closed |
//! | [`dial`] | the socket: TCP or TLS |
//! | [`handshake`] | who we are, and what both sides agree upon |
//! | [`frames`] | frames as bytes |
//! | [`state`] | what is known of a connection, and of each channel: changes with each frame, no I/O |
//! | [`pump`] | the task that moves bytes between socket and state |
//! | [`channel`] | what is asked of a channel |
//! | [`error`] | why something could not be done |

pub mod channel;
pub mod connection;
mod dial;
pub mod error;
mod frames;
mod handshake;
mod pump;
mod state;

pub use amq_protocol::protocol::basic::AMQPProperties as Properties;
pub use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
pub use channel::{Channel, Consumer, Declare, Message};
pub use connection::{Connection, PATIENCE};
pub use dial::Tls;
pub use error::Error;
pub use state::{Delivery, Taken};
