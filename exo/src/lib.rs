//! The session: everything between the broker and a handler.
//!
//! | module | idea |
//! |---|---|
//! | [`machine`] | what is decided: a pure machine |
//! | [`session`] | the loop that performs what was decided, on a [`air::Link`] |
//! | [`control`] | status and cancel over AIR |
//! | [`workers`] | what a session asks of those who do the work, and what they report |
//! | [`exec`] | work done by any program, a process per workitem |
//! | [`log`] | the participant's log lines |
//! | [`fault`] | a fault of our own |
//!
//! The work itself is done elsewhere: by the Python handler in the extension module, or by [`exec`].
#![forbid(unsafe_code)]

pub mod control;
pub mod exec;
pub mod fault;
pub mod log;
pub mod machine;
pub mod session;
pub mod workers;
