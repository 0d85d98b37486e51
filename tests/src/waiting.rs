//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Until a wait is given up. Nothing here takes that long, also on a machine that is on its knees: only a test that
/// fails waits for it.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until a condition holds; the test fails when it does not within [`DEADLINE`].
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(DEADLINE, condition), "waited in vain until {what}");
}

/// Waits until there is a value, and returns it.
pub fn wait_for<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(what, || {
        found = value();
        found.is_some()
    });
    found.unwrap()
}

/// Whether a condition comes to hold within a time.
pub fn holds_within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
