//! The one home of lapin.
//!
//! | module | idea |
//! |---|---|
//! | [`connection`] | a connection: TCP or TLS, with a deadline, and words for what went wrong |
//! | [`carrier`] | AIR over a broker |

pub mod carrier;
pub mod connection;
