//! What /proc says of processes. Those that are gone meanwhile say nothing.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::{fs, io};

/// The children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A process and all below it, parents first.
pub fn family(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children(*pid));
        next += 1;
    }
    all
}

/// What is behind a word in a file of /proc/PID, as a number.
pub fn number(pid: i32, file: &str, word: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.trim_start_matches(':').split_ascii_whitespace().next()?.parse().ok()
}

/// The proportional share of memory, KiB.
pub fn pss(pid: i32) -> u64 {
    number(pid, "smaps_rollup", "Pss:").unwrap_or(0)
}

/// How often a process has gone to sleep.
pub fn sleeps(pid: i32) -> u64 {
    number(pid, "status", "voluntary_ctxt_switches:").unwrap_or(0)
}

/// Nanoseconds that a process has computed.
pub fn computed(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// How many threads of this machine run or want to run.
pub fn runnable() -> u64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = text.split(' ').nth(3).and_then(|word| word.split('/').next()?.parse().ok());
    running.unwrap_or(0)
}

/// Seconds that the children which have ended and been waited for have computed.
///
/// # Errors
/// What asking for it reports.
pub fn computed_by_children() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
