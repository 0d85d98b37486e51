//! `svc -udoxpchaitk… [-wu|-wU|-wd|-wD|-wr] [-T MS] DIR…`: sends control letters to the supervise of each service
//! directory, and waits for what becomes of it.
//!
//! The letters go in the order given, each once, in one write per directory. What cannot be reached is named
//! in a warning; the exit code is 0 all the same, and 100 for wrong usage (daemontools 0.76). Waiting: 99 when the
//! time is over, 111 when what is waited for cannot come.
#![forbid(unsafe_code)]

use servicedir::{client, control};
use std::ffi::OsStr;
use std::io;
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
            match wrong {
                Wrong::Illegal(letter) => complain(&[b"svc: illegal option -- ", &[letter]]),
                Wrong::NoArgument(letter) => complain(&[b"svc: option requires an argument -- ", &[letter]]),
                Wrong::NoNumber(word) => complain(&[b"svc: -T takes milliseconds, not ", bytes(&word)]),
            }
            complain(&[list().as_bytes()]);
            return ExitCode::from(100);
        }
    };
    if options.dirs.is_empty() {
        return ExitCode::SUCCESS;
    }
    let mut start = match Start::here() {
        Ok(start) => start,
        Err(e) => {
            let words = Words(&e).to_string();
            complain(&[b"svc: fatal: unable to open current directory: ", words.as_bytes()]);
            return ExitCode::from(111);
        }
    };
    let deadline = options.patience.and_then(|patience| Instant::now().checked_add(patience));
    let Some(goal) = options.goal else {
        for dir in &options.dirs {
            if let Err(e) = start.within(dir, || send(dir, &options.letters)) {
                warn("chdir to", dir, &e);
            }
        }
        return ExitCode::SUCCESS;
    };
    let mut worst = 0;
    let mut waits = vec![];
    for dir in &options.dirs {
        match Wait::begin(Path::new(dir), dir.clone()) {
            Ok(wait) => waits.push(wait),
            Err(e) => {
                let e = if client::nobody_reads(&e) { io::Error::other("supervise not running") } else { e };
                warn("wait for", dir, &e);
                worst = 111;
                continue;
            }
        }
        if !options.letters.is_empty()
            && let Err(e) = start.within(dir, || send(dir, &options.letters))
        {
            warn("chdir to", dir, &e);
        }
    }
    for wait in waits {
        worst = worst.max(await_goal(&wait, goal, deadline));
    }
    ExitCode::from(worst)
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
