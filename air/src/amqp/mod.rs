//! The one home of lapin.
//!
//! | module | idea |
//! |---|---|
//! | [`connection`] | a connection: TCP or TLS, with a deadline, and words for what went wrong |
//! | [`broker`] | a broker that a participant is connected to: a consumer, a publisher, and whether all is well |
//! | [`link`] | a task that is connected as often as it can be |
//! | [`line`] | a connection for as long as one command runs |
//! | [`carrier`] | AIR over a broker |

mod broker;
pub mod carrier;
pub mod connection;
pub mod line;
pub mod link;
