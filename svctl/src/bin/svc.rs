//! `svc -udoxpchaitk DIR…`: sends control letters to the supervise of each service directory.
//!
//! The letters go in the order given, each once, in one write per directory. What cannot be reached is named
//! in a warning; the exit code is 0 all the same, and 100 for wrong usage (daemontools 0.76).
#![forbid(unsafe_code)]

use servicedir::{client, control};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use svctl::options::{self, Illegal};
use svctl::visit::{Start, bytes, complain};
use unix::words::Words;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1), is_letter) {
        Ok(options) => options,
        Err(Illegal(letter)) => {
            complain(&[b"svc: illegal option -- ", &[letter]]);
            complain(&[list().as_bytes()]);
            return ExitCode::from(100);
        }
    };
    if options.dirs.is_empty() {
        return ExitCode::SUCCESS;
    }
    let start = match Start::here() {
        Ok(start) => start,
        Err(e) => {
            let words = Words(&e).to_string();
            complain(&[b"svc: fatal: unable to open current directory: ", words.as_bytes()]);
            return ExitCode::from(111);
        }
    };
    for dir in &options.dirs {
        if let Err(e) = start.within(dir, || send(dir, &options.letters)) {
            warn("chdir to", dir, &e);
        }
    }
    ExitCode::SUCCESS
}

fn send(dir: &OsStr, letters: &[u8]) {
    match client::send(Path::new("."), letters) {
        Ok(()) => {}
        Err(e) if client::nobody_reads(&e) => {
            warn("control", dir, &io::Error::other("supervise not running"));
        }
        Err(e) => warn("control", dir, &e),
    }
}

fn warn(verb: &str, dir: &OsStr, error: &io::Error) {
    let (verb, words) = (verb.as_bytes(), Words(error).to_string());
    complain(&[b"svc: warning: unable to ", verb, b" ", bytes(dir), b": ", words.as_bytes()]);
}

fn is_letter(letter: u8) -> bool {
    control::TABLE.iter().any(|row| row.letter == letter)
}

/// The line that lists the options.
fn list() -> String {
    let rows = control::TABLE.map(|row| format!("{} {}", char::from(row.letter), row.name));
    format!("svc options: {}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_of_options_begins_with_that_of_daemontools() {
        assert!(super::list().starts_with(
            "svc options: u up, d down, o once, x exit, p pause, c continue, \
             h hup, a alarm, i interrupt, t term, k kill, "
        ));
    }
}
