//! The names that the broker makes up.

use std::hash::{BuildHasher, RandomState};

/// None of them comes back, not in a later run either, where a queue of that name, or a client that knew it, may still be.
pub(super) struct Names {
    /// By chance.
    run: u64,
    last: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        // The library's keys for its hash maps are by chance, and so is what they make of nothing.
        Self { run: RandomState::new().hash_one(()), last: 0 }
    }

    /// A new one that begins so.
    pub(super) fn next(&mut self, beginning: &str) -> String {
        self.last += 1;
        format!("{beginning}{:016x}-{}", self.run, self.last)
    }
}
