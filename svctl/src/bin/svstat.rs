//! `svstat [-v | --json] DIR…`: says of each service directory, in a line, whether its service is up and for how
//! long; -v says more, --json an object for programs.
//!
//! Exits 0 whatever it finds, as daemontools 0.76 does.
#![forbid(unsafe_code)]

use servicedir::status::{Status, Want};
use servicedir::{client, names};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use svctl::describe::{self, Now};
use svctl::visit::{Start, bytes, complain};
use unix::tai64n::Tai64n;
use unix::words::Words;

fn main() -> ExitCode {
    let start = match Start::here() {
        Ok(start) => start,
        Err(e) => {
            let words = Words(&e).to_string();
            complain(&[b"svstat: fatal: unable to open current directory: ", words.as_bytes()]);
            return ExitCode::from(111);
        }
    };
    let mut out = BufWriter::new(io::stdout());
    let mut dirs = std::env::args_os().skip(1).peekable();
    let form = match dirs.next_if(|word| word == "-v" || word == "--json") {
        None => Form::Plain,
        Some(word) if word == "-v" => Form::Verbose,
        Some(_) => Form::Json,
    };
    for dir in dirs {
        // A reader that went away (`| head`) has had what it wanted.
        if out.write_all(&report(&start, &dir, form)).is_err() {
            break;
        }
    }
    let _ = out.flush();
    ExitCode::SUCCESS
}

/// How it is said.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Verbose,
    Json,
}

fn report(start: &Start, dir: &OsStr, form: Form) -> Vec<u8> {
    let found = start.within(dir, inspect).unwrap_or_else(|e| Err(format!("unable to chdir: {}", Words(&e))));
    let (name, now) = (bytes(dir), Now::look());
    let text = match (form, found) {
        (Form::Json, Ok((status, normally_up))) => {
            return describe::json(name, &status, normally_up, now).into_bytes().with_newline();
        }
        (Form::Json, Err(trouble)) => {
            return describe::json_trouble(name, &trouble).into_bytes().with_newline();
        }
        (Form::Plain, Ok((status, normally_up))) => line(&status, normally_up, now.wall),
        (Form::Verbose, Ok((status, normally_up))) => {
            line(&status, normally_up, now.wall) + &describe::verbose(&status, now)
        }
        (_, Err(trouble)) => trouble,
    };
    [name, b": ", text.as_bytes()].concat().with_newline()
}

trait Line {
    fn with_newline(self) -> Self;
}

impl Line for Vec<u8> {
    fn with_newline(mut self) -> Self {
        self.push(b'\n');
        self
    }
}

/// The status of the service directory that is the working directory, and whether it is normally up; or what is to
/// be said instead.
fn inspect() -> Result<(Status, bool), String> {
    let normally_up = match fs::metadata(names::DOWN) {
        Ok(_) => false,
        Err(e) if e.kind() == ErrorKind::NotFound => true,
        Err(e) => return Err(format!("unable to stat down: {}", Words(&e))),
    };
    let here = Path::new(".");
    match client::knock(here) {
        Ok(()) => {}
        Err(e) if client::nobody_reads(&e) => return Err("supervise not running".into()),
        Err(e) => return Err(format!("unable to open {}: {}", names::OK, Words(&e))),
    }
    let status = client::status(here).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => format!("unable to read {}: {e}", names::STATUS),
        _ => format!("unable to open {}: {}", names::STATUS, Words(&e)),
    })?;
    Ok((status, normally_up))
}

/// The line for a status, in the words and the order of daemontools.
fn line(status: &Status, normally_up: bool, now: Tai64n) -> String {
    let seconds = status.since.age_at(now).as_secs();
    let mut line = match status.pid {
        // daemontools reads the pid without a sign.
        Some(pid) => format!("up (pid {}) {seconds} seconds", pid.cast_unsigned()),
        None => format!("down {seconds} seconds"),
    };
    let up = status.pid.is_some();
    let remarks = [
        (up && !normally_up, ", normally down"),
        (!up && normally_up, ", normally up"),
        (up && status.paused, ", paused"),
        (!up && status.want == Want::Up, ", want up"),
        (up && status.want == Want::Down, ", want down"),
    ];
    for (_, remark) in remarks.iter().filter(|(applies, _)| *applies) {
        line.push_str(remark);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_line_has_daemontools_words_in_daemontools_order() {
        let at = |seconds| Tai64n::from(UNIX_EPOCH + Duration::from_secs(seconds));
        for (pid, paused, want, normally_up, expected) in [
            (Some(42), false, Want::Up, true, "up (pid 42) 7 seconds"),
            (Some(42), false, Want::Up, false, "up (pid 42) 7 seconds, normally down"),
            (Some(42), true, Want::Down, false, "up (pid 42) 7 seconds, normally down, paused, want down"),
            (None, false, Want::Down, false, "down 7 seconds"),
            (None, false, Want::Up, true, "down 7 seconds, normally up, want up"),
            (None, true, Want::Nothing, true, "down 7 seconds, normally up"),
        ] {
            let status = Status { since: at(100), pid, paused, want, more: None };
            assert_eq!(line(&status, normally_up, at(107)), expected);
        }
        let future = Status { since: at(100), pid: None, paused: false, want: Want::Down, more: None };
        assert_eq!(line(&future, false, at(7)), "down 0 seconds");
    }
}
