//! Saying something to people: work goes on when nobody listens any more (`skynet … | head -1`).

use crate::progress;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output is for JSON, and words go to standard error.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on standard output is for JSON, and words go to standard error.
pub fn keep_stdout_for_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Writes one line for people.
pub fn line(words: Arguments) {
    progress::clear();
    // A closed pipe is the listener's decision and no reason to leave work half done.
    let _ = if JSON.load(Ordering::Relaxed) {
        writeln!(io::stderr(), "{words}")
    } else {
        writeln!(io::stdout(), "{words}")
    };
}

/// Writes one line about what went wrong, or may go wrong, to standard error.
pub fn trouble(words: &str) {
    progress::clear();
    // Where nobody listens to complaints either, the exit code must do.
    let _ = writeln!(io::stderr(), "skynet: {words}");
}

/// Writes the result itself, to standard output.
///
/// # Errors
/// What writing reports, but not that nobody listens any more.
pub fn result(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a value as JSON, on lines of its own.
///
/// # Errors
/// As [`result`].
pub fn json(value: &impl serde::Serialize) -> io::Result<()> {
    result(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes a value as JSON on one line, for commands that print one after the other.
///
/// # Errors
/// As [`result`].
pub fn json_line(value: &impl serde::Serialize) -> io::Result<()> {
    result(&(serde_json::to_string(value)? + "\n"))
}

/// `println!`, but quiet when nobody listens.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}

/// A line on standard error that begins with our name; quiet when nobody listens.
macro_rules! complain {
    ($($words:tt)*) => { $crate::say::trouble(&format!($($words)*)) };
}
pub(crate) use {complain, say};
