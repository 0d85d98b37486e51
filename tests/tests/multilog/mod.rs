//! A log directory as `ls` shows it.
#![allow(dead_code, reason = "each test file uses its part of it")]

use nix::sys::statvfs::{Statvfs, statvfs};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::{Sandbox, mask};

/// A folder on a memory disk, where there is one with room: for thousands of logs, each of which is synced at its end.
pub fn memory_folder() -> tempfile::TempDir {
    let folder = |place| tempfile::Builder::new().prefix("sky-").tempdir_in(place);
    // A container's is small.
    let room = |stat: Statvfs| stat.blocks_available() * stat.fragment_size() > 1 << 30;
    let large = statvfs("/dev/shm").is_ok_and(room);
    large.then(|| folder("/dev/shm").ok()).flatten().unwrap_or_else(|| folder("/tmp").unwrap())
}

/// Mode, size and name of each file in a log directory, in the order of their names; labels masked.
pub fn listing(sandbox: &Sandbox, log: &str) -> Vec<String> {
    let line = |name: String| {
        // One that runs may have renamed it meanwhile.
        let file = sandbox.path(log).join(&name).metadata().ok()?;
        Some(mask::labels(&format!("{:o} {} {name}", file.permissions().mode() & 0o777, file.len())))
    };
    names(sandbox, log).into_iter().filter_map(line).collect()
}

/// The names in a log directory, in order.
pub fn names(sandbox: &Sandbox, log: &str) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path(log)).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The old logs, oldest first.
pub fn old_logs(sandbox: &Sandbox, log: &str) -> Vec<String> {
    names(sandbox, log).into_iter().filter(|name| name.starts_with('@')).collect()
}

/// What all old logs and `current` hold, oldest first.
pub fn all_text(sandbox: &Sandbox, log: &str) -> String {
    let mut text: String =
        old_logs(sandbox, log).into_iter().map(|name| sandbox.read(format!("{log}/{name}"))).collect();
    text += &sandbox.read(format!("{log}/current"));
    text
}

/// Numbered lines of 63 bytes each.
pub fn lines(from: u32, to: u32) -> String {
    (from..=to).map(|number| format!("line {number:06} {}\n", "x".repeat(50))).collect()
}
