//! `multilog SCRIPT…`: reads lines, labels and selects them, and writes them to rotated log directories.
//!
//! | file | idea |
//! |---|---|
//! | `script.rs` | the script as a list of actions; pure |
//! | `pattern.rs` | which lines a pattern matches; pure |
//! | `lines.rs` | one read as lines: what each output gets |
//! | `logdir.rs` | one log directory: start-up, writing, rotation |
//! | `old.rs` | names and number of old logs; pure |
//! | `processor.rs` | the program that a log goes through when it is rotated |
//! | `input.rs` | standard input and the signals |
//!
//! Signals: TERM reads to the end of the line, flushes and exits 0; ALRM rotates now.
//! Exit codes: 0 end of input or TERM; 111 trouble at the start. Trouble later never loses a
//! line: it is said, and tried again every five seconds.
#![forbid(unsafe_code)]

mod input;
mod lines;
mod logdir;
mod old;
mod processor;

use multilog::script;
use nix::sys::stat::{Mode, umask};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<Vec<u8>> = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    umask(Mode::from_bits_truncate(0o022));
    match lines::Outputs::open(script::parse(&args)).and_then(input::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            say(&[b"multilog: fatal: ".as_slice(), &sentence].concat());
            ExitCode::from(111)
        }
    }
}

/// A line on standard error. Names may be any bytes.
fn say(line: &[u8]) {
    // Nobody is left to be told when standard error is gone.
    let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
}
