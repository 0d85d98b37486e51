//! Saying something on standard output: work goes on when nobody listens any more (`skynet … | head -1`).

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line.
pub fn line(words: Arguments) {
    // A closed pipe is the listener's decision and no reason to leave work half done.
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// `println!`, but quiet when nobody listens.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}
pub(crate) use say;
