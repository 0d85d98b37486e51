//! The clock that nobody can set.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time since some moment before all programs of this boot: CLOCK_MONOTONIC, the same for all processes.
pub fn monotonic() -> Duration {
    // Cannot fail: the clock is always there.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
