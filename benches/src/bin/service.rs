//! The `./run` of the benchmark's services: says in a FIFO that it runs, and since when, and sleeps.
//!
//! A line is `PID NANOSECONDS NAME`: the monotonic clock at the beginning of main, and the service's directory.
#![forbid(unsafe_code)]

use nix::time::{ClockId, clock_gettime};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Duration;

/// Where the FIFO is, seen from a service and from its `log`.
const STAMPS: [&str; 2] = ["../../stamps", "../../../stamps"];

fn main() -> io::Result<()> {
    let begun = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos();
    let dir = std::env::current_dir()?;
    let name = dir.file_name().unwrap_or_default().display().to_string();
    let line = format!("{} {begun} {name}\n", std::process::id());
    let open = |path: &str| OpenOptions::new().write(true).open(path);
    let mut stamps = open(STAMPS[0]).or_else(|_| open(STAMPS[1]))?;
    // One write: lines of others do not come in between.
    stamps.write_all(line.as_bytes())?;
    drop(stamps);
    if name == "log" {
        // A logger ends when its input does.
        io::copy(&mut io::stdin(), &mut io::sink())?;
        return Ok(());
    }
    loop {
        nix::unistd::pause();
    }
}
