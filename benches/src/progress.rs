//! What is being done, for who waits: on a terminal only, in a line that the next one takes the place of.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};

/// Says what is done now.
pub fn doing(what: impl Display) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what} …");
    }
}

/// Takes it away again.
pub fn done() {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
