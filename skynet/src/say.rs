//! Saying something to people: work goes on when nobody listens any more (`skynet … | head -1`).

use crate::progress;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Whether standard output is for JSON, and words go to standard error.
static JSON: AtomicBool = AtomicBool::new(false);

/// The number of the error with which something said was not written.
static UNWRITTEN: AtomicI32 = AtomicI32::new(0);

/// From now on standard output is for JSON, and words go to standard error.
pub fn keep_stdout_for_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Writes one line for people.
pub fn line(words: Arguments) {
    progress::clear();
    if JSON.load(Ordering::Relaxed) {
        // As for complaints.
        let _ = writeln!(io::stderr(), "{words}");
    } else if let Err(e) = writeln!(io::stdout(), "{words}")
        && e.kind() != ErrorKind::BrokenPipe
    {
        // Work is not left half done for it: it is told at the end. A closed pipe is the listener's decision.
        UNWRITTEN.store(e.raw_os_error().unwrap_or(0), Ordering::Relaxed);
    }
}

/// Why something that was said could not be written, as on a full disk.
pub fn unwritten() -> Option<io::Error> {
    match UNWRITTEN.load(Ordering::Relaxed) {
        0 => None,
        number => Some(io::Error::from_raw_os_error(number)),
    }
}

/// Writes one line about what went wrong, or may go wrong, to standard error.
pub fn trouble(words: &str) {
    progress::clear();
    // Where nobody listens to complaints either, the exit code must do.
    let _ = writeln!(io::stderr(), "skynet: {words}");
}

/// Words of others as one line, without what a terminal would obey.
pub fn one_line(words: &str) -> String {
    words.replace(char::is_control, " ")
}

/// As a shell takes it for one word.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_shown_as_a_shell_takes_it() {
        for (path, word) in [("/tmp/a.b-c", "/tmp/a.b-c"), ("/my home", "'/my home'"), ("/o'x", "'/o'\\''x'")]
        {
            assert_eq!(super::word(path), word);
        }
    }
}
