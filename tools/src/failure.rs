//! Why a program gives up, as daemontools says it: usage (100) or one fatal line (111).

use std::io::{self, Write};
use std::process::ExitCode;
use unix::words::Words;

/// Why a program gives up.
#[derive(Debug)]
pub enum Failure {
    /// Arguments are missing or make no sense.
    Usage,
    /// What was being done, and the system's reason, if it is one of the system's.
    Fatal(Vec<u8>, Option<io::Error>),
}

impl Failure {
    /// What was being done, in parts, and the system's reason.
    pub fn of(what: &[&[u8]], reason: impl Into<io::Error>) -> Self {
        Self::Fatal(what.concat(), Some(reason.into()))
    }

    /// Says it on standard error, as the program of this name with this line of usage.
    pub fn tell(self, program: &str, usage: &str) -> ExitCode {
        match self {
            Self::Usage => {
                say(&[program.as_bytes(), b": usage: ", usage.as_bytes()]);
                ExitCode::from(100)
            }
            Self::Fatal(what, reason) => {
                let reason = reason.map_or_else(String::new, |e| format!(": {}", Words(&e)));
                say(&[program.as_bytes(), b": fatal: ", &what, reason.as_bytes()]);
                ExitCode::from(111)
            }
        }
    }
}

/// A line on standard error. Names may be any bytes.
pub fn say(parts: &[&[u8]]) {
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().write_all(&[parts.concat().as_slice(), b"\n"].concat());
}
