//! A participant's state folder: the failed store.
//!
//! Later parts keep the journal and the history here as well.
#![forbid(unsafe_code)]

pub mod failed;
