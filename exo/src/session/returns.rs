//! Deliveries to this process that came to nothing: a quorum queue counts them, and none of them has ended a process.

use state::journal::Digest;
use std::collections::HashMap;

/// So many messages are remembered; those that other instances work on are never heard of again.
const REMEMBERED: usize = 10_000;

/// How often messages of a quorum queue were delivered to this process.
#[derive(Debug, Default)]
pub struct Returns {
    counted: bool,
    delivered: HashMap<Digest, u32>,
}

impl Returns {
    /// `counted` = the broker counts deliveries.
    pub fn new(counted: bool) -> Self {
        Self { counted, ..Self::default() }
    }

    /// Whether the broker counts deliveries.
    pub fn counted(&self) -> bool {
        self.counted
    }

    /// A message is delivered; how often it was before.
    pub fn delivered(&mut self, digest: Digest) -> u32 {
        if !self.counted {
            return 0;
        }
        if self.delivered.len() >= REMEMBERED {
            self.delivered.clear();
        }
        let times = self.delivered.entry(digest).or_default();
        *times += 1;
        *times - 1
    }

    /// It is settled.
    pub fn settled(&mut self, digest: &Digest) {
        self.delivered.remove(digest);
    }
}

#[test]
fn what_was_delivered_here_before_is_counted_until_it_is_settled() {
    let mut returns = Returns::new(true);
    let told: Vec<_> = (0..3).map(|_| returns.delivered([1; 32])).collect();
    assert_eq!((told, returns.delivered([2; 32])), (vec![0, 1, 2], 0));
    returns.settled(&[1; 32]);
    assert_eq!(returns.delivered([1; 32]), 0);
    assert_eq!(Returns::new(false).delivered([1; 32]), 0);
}
