//! `multilog SCRIPT…`: reads lines, labels and selects them, and writes them to rotated log directories.
//!
//! | decides, in the library | idea |
//! |---|---|
//! | `script.rs` | the script as a list of actions |
//! | `pattern.rs`, `selection.rs` | which lines a pattern matches, and which lines go where |
//! | `label.rs` | the time before a line |
//! | `machine.rs` | one log directory: when to write, rotate, try again |
//! | `recover.rs` | what is made of what a killed multilog left |
//! | `pieces.rs`, `old.rs` | what of a text one log gets; names and number of old logs |
//!
//! | does, here | idea |
//! |---|---|
//! | `input.rs` | standard input and the signals |
//! | `outputs.rs`, `sinks.rs` | a read as lines; the text that is written |
//! | `logdir.rs`, `dir.rs` | one log directory: what its machine decides, on the real files |
//! | `processor.rs`, `status.rs` | the processor of finished logs; status files |
//! | `trouble.rs` | what could not be done, and how that is said |
//!
//! Signals: TERM reads to the end of the line, flushes and exits 0; ALRM rotates now.
//! Exit codes: 0 end of input or TERM; 100 a script that cannot be; 111 trouble at the start, or an input that
//! cannot be read. Trouble with a log later never loses a line: it is said, and tried again every five seconds.
#![forbid(unsafe_code)]

mod dir;
mod input;
mod logdir;
mod outputs;
mod processor;
mod sinks;
mod status;
mod trouble;

use input::Signals;
use multilog::script::{self, Misused, Script};
use nix::sys::stat::{Mode, umask};
use outputs::Outputs;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use trouble::{Trouble, say};

fn main() -> ExitCode {
    let args: Vec<Vec<u8>> = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    umask(Mode::from_bits_truncate(0o022));
    let script = match script::parse(&args) {
        Ok(script) => script,
        Err(Misused { argument, reason }) => {
            fatal(&[argument.as_slice(), b": ", reason.as_bytes()].concat());
            return ExitCode::from(100);
        }
    };
    match run(script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            fatal(&trouble.line());
            ExitCode::from(111)
        }
    }
}

fn run(script: Script) -> Result<(), Trouble> {
    let block = input::block(&script);
    // First: a signal that comes while the directories are opened ends nothing half way.
    let signals = Signals::new()?;
    input::run(signals, Outputs::open(script, block)?, block)
}

fn fatal(sentence: &[u8]) {
    say(&[b"multilog: fatal: ".as_slice(), sentence].concat());
}
