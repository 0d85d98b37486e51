//! What multilog decides, without any I/O. The program around it is `main.rs`.
#![forbid(unsafe_code)]

pub mod label;
pub mod machine;
pub mod old;
pub mod pattern;
pub mod pieces;
pub mod recover;
pub mod script;
pub mod selection;
#[cfg(test)]
mod walk;
