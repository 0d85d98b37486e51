//! What multilog understands, without any I/O: its script and its patterns. The program is `main.rs`.
#![forbid(unsafe_code)]

pub mod pattern;
pub mod script;
