//! How long to wait before connecting again: doubling, capped, with jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(10);

/// The waits of one absence of the broker.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `random` spreads those who lost the same broker; any number will do.
    pub fn next(&mut self, random: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(MAX);
        self.failures += 1;
        whole / 2 + whole / 2 * (random % 1024) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_are_never_zero() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|random| backoff.next(random * 7919)).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits.iter().all(|w| *w >= FIRST / 2 && *w <= MAX));
        assert!(waits[39] >= MAX / 2);
    }
}
