//! Saying something to people: work goes on when nobody listens any more (`skynet … | head -1`).

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
    // A closed pipe is the listener's decision and no reason to leave work half done.
    let _ = if JSON.load(Ordering::Relaxed) {
        writeln!(io::stderr(), "{words}")
    } else {
        writeln!(io::stdout(), "{words}")
    };
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

/// `println!`, but quiet when nobody listens.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}
pub(crate) use say;
