//! Transcripts without pids and times: what differs from run to run is masked, the rest is compared as it is.

use regex::Regex;
use std::sync::LazyLock;

static PID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(pid \d+\)").unwrap());
static SECONDS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\d+ seconds").unwrap());
static LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"@[0-9a-f]{24}").unwrap());

/// `(pid 42)` becomes `(pid PID)`.
pub fn pids(text: &str) -> String {
    PID.replace_all(text, "(pid PID)").into_owned()
}

/// `(pid 42) 7 seconds` becomes `(pid PID) N seconds`.
pub fn pids_and_times(text: &str) -> String {
    SECONDS.replace_all(&pids(text), "N seconds").into_owned()
}

/// A TAI64N label becomes `@LABEL`.
pub fn labels(text: &str) -> String {
    LABEL.replace_all(text, "@LABEL").into_owned()
}
