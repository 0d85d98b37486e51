//! `svscan --check [DIR]`: what svscan would do with each entry of DIR, and what is wrong with it. It changes nothing,
//! and takes no lock, so it may run beside a svscan at work.
//!
//! | file | idea |
//! |---|---|
//! | `facts.rs` | what is to be known of an entry, and of a directory in which a supervise runs |
//! | `look.rs` | finding that out |
//! | `judge.rs` | what follows from it; pure |
//! | `report.rs` | saying it; pure |
//!
//! Exit codes: 0 fine; 1 something is wrong; 111 DIR cannot be read.

mod facts;
mod judge;
mod look;
mod report;

use crate::limits;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

/// Checks the working directory, which is called `name` in what is said. Returns the exit code.
///
/// # Errors
/// What reading the directory, or writing the report, reports.
pub fn check(name: &OsStr) -> io::Result<u8> {
    let entries = look::entries(Path::new("."))?;
    let svscan = look::svscan_of(Path::new("."));
    let mut general = vec![];
    if let Err(e) = look::program_on_path(OsStr::new(servicedir::names::SUPERVISE)) {
        general.push(judge::no_supervise(&limits::word(&e)));
    }
    let verdicts: Vec<_> = entries.iter().map(|entry| judge::entry(entry, svscan.is_some())).collect();
    let (text, wrong) = report::report(name, svscan, &general, &verdicts);
    io::stdout().write_all(text.as_bytes())?;
    Ok(u8::from(wrong))
}
