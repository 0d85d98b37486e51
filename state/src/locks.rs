//! For tests: that a lock is waited for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Waits until the kernel says that somebody waits for the lock of this file. The test fails where `over` holds before.
pub fn wait_until_somebody_waits_for(file: &Path, over: impl Fn() -> bool) {
    let inode = format!(":{} ", file.metadata().unwrap().ino());
    let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
    let end = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        assert!(Instant::now() < end && !over(), "it does not wait");
        std::thread::yield_now();
    }
}
