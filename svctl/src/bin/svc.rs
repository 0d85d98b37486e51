//! `svc -udoxpchaitk… [-wu|-wU|-wd|-wD|-wr] [-T MS] DIR…`: sends control letters to the supervise of each service
//! directory, and waits for what becomes of it.
//!
//! The letters go in the order given, each once, in one write per directory. What cannot be reached is named
//! in a warning; the exit code is 0 all the same, and 100 for wrong usage (daemontools 0.76). Waiting: 99 when the
//! time is over, 111 when what is waited for cannot come.
#![forbid(unsafe_code)]

use servicedir::{client, control};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use svctl::options::{self, Wrong};
use svctl::visit::{Start, bytes, complain};
use svctl::waiting::{End, Goal, Wait};
use unix::words::Words;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1), is_letter) {
        Ok(options) => options,
        Err(wrong) => {
            refuse(wrong);
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
    let Some(goal) = options.goal else {
        options.dirs.iter().for_each(|dir| send(&start, dir, &options.letters));
        return ExitCode::SUCCESS;
    };
    let deadline = options.patience.and_then(|patience| Instant::now().checked_add(patience));
    // Watched before the letters are sent: nothing that becomes of them is missed.
    let begun: Vec<_> = options.dirs.iter().map(|dir| begin(&start, dir, &options.letters)).collect();
    let codes = begun.iter().map(|wait| wait.as_ref().map_or(111, |wait| await_goal(wait, goal, deadline)));
    ExitCode::from(codes.max().unwrap_or(0))
}

fn refuse(wrong: Wrong) {
    match wrong {
        Wrong::Illegal(letter) => complain(&[b"svc: illegal option -- ", &[letter]]),
        Wrong::NoArgument(letter) => complain(&[b"svc: option requires an argument -- ", &[letter]]),
        Wrong::NoNumber(word) => complain(&[b"svc: -T takes milliseconds, not ", bytes(&word)]),
    }
    complain(&[list().as_bytes()]);
}

/// Watches a service and sends it the letters; `None` when it cannot be watched.
fn begin(start: &Start, dir: &OsString, letters: &[u8]) -> Option<Wait> {
    match Wait::begin(Path::new(dir), dir.clone()) {
        Ok(wait) => {
            if !letters.is_empty() {
                send(start, dir, letters);
            }
            Some(wait)
        }
        Err(e) => {
            warn("unable to wait for", dir, &plain(e));
            None
        }
    }
}

/// Waits for one service; returns the exit code.
fn await_goal(wait: &Wait, goal: Goal, deadline: Option<Instant>) -> u8 {
    let (code, reason) = match wait.until(goal, deadline) {
        Ok(End::Reached) => return 0,
        Ok(End::TimedOut) => (99, "timed out".to_owned()),
        Ok(End::Hopeless(why)) => (111, why.to_owned()),
        Err(e) => (111, Words(&e).to_string()),
    };
    let name = bytes(&wait.name);
    complain(&[b"svc: warning: ", name, b" is not ", goal.word().as_bytes(), b": ", reason.as_bytes()]);
    code
}

fn send(start: &Start, dir: &OsStr, letters: &[u8]) {
    match start.within(dir, || client::control(Path::new("."))) {
        Ok(Ok(mut control)) => {
            if let Err(e) = control.write_all(letters) {
                warn("error writing commands to", dir, &e);
            }
        }
        Ok(Err(e)) => warn("unable to control", dir, &plain(e)),
        Err(e) => warn("unable to chdir to", dir, &e),
    }
}

/// That nobody reads a FIFO, in daemontools' words.
fn plain(e: io::Error) -> io::Error {
    if client::nobody_reads(&e) { io::Error::other("supervise not running") } else { e }
}

fn warn(what: &str, dir: &OsStr, error: &io::Error) {
    let words = Words(error).to_string();
    complain(&[b"svc: warning: ", what.as_bytes(), b" ", bytes(dir), b": ", words.as_bytes()]);
}

fn is_letter(letter: u8) -> bool {
    control::TABLE.iter().any(|row| row.letter == letter)
}

/// The line that lists the options: daemontools' first.
fn list() -> String {
    let letters = control::TABLE.iter().map(|row| format!("{} {}", char::from(row.letter), row.name));
    let goals =
        Goal::ALL.iter().map(|(letter, _, word)| format!("w{} wait until {word}", char::from(*letter)));
    let more = ["T milliseconds to wait".to_owned()];
    format!("svc options: {}", letters.chain(goals).chain(more).collect::<Vec<_>>().join(", "))
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
