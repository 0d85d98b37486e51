//! `svstat [-v | --json] DIR…`: says of each service directory, in a line, whether its service is up and for how
//! long; -v says more, --json an object for programs.
//!
//! Exits 0 whatever it finds, as daemontools 0.76 does.
#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::stat::stat;
use servicedir::client::{self, Record};
use servicedir::names;
use servicedir::status::{Status, Want};
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
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
    let now = Now::look();
    let mut dirs = std::env::args_os().skip(1).peekable();
    let form = match dirs.next_if(|word| word == "-v" || word == "--json") {
        None => Form::Plain,
        Some(word) if word == "-v" => Form::Verbose,
        Some(_) => Form::Json,
    };
    for dir in dirs {
        let found = look(&start, &dir);
        // A reader that went away (`| head`) has had what it wanted.
        if report(&mut out, bytes(&dir), form, found, now).is_err() {
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

/// What is known of a service: its status, and whether it is normally up; or what is to be said instead.
type Found = Result<(Status, bool), String>;

fn report(out: &mut impl Write, name: &[u8], form: Form, found: Found, now: Now) -> io::Result<()> {
    if !matches!(form, Form::Json) {
        out.write_all(name)?;
        out.write_all(b": ")?;
    }
    match (form, found) {
        (Form::Plain, Ok((status, normally_up))) => writeln!(out, "{}", Line(&status, normally_up, now.wall)),
        (Form::Verbose, Ok((status, normally_up))) => {
            let line = Line(&status, normally_up, now.wall);
            writeln!(out, "{line}{}", describe::verbose(&status, now))
        }
        (Form::Json, Ok((status, normally_up))) => {
            writeln!(out, "{}", describe::json(name, &status, normally_up, now))
        }
        (Form::Json, Err(trouble)) => writeln!(out, "{}", describe::json_trouble(name, &trouble)),
        (_, Err(trouble)) => writeln!(out, "{trouble}"),
    }
}

/// What is found in a service directory. To go there, as daemontools does, tells what is wrong with it, but takes time:
/// where nothing is wrong it is looked at from here.
fn look(start: &Start, dir: &OsStr) -> Found {
    match inspect(Path::new(dir)) {
        Ok(found) if !dir.is_empty() => Ok(found),
        _ => start
            .within(dir, || inspect(Path::new("")))
            .unwrap_or_else(|e| Err(format!("unable to chdir: {}", Words(&e)))),
    }
}

/// What is found in a directory; an empty path is the working directory.
fn inspect(dir: &Path) -> Found {
    // The library's own asks with statx(2), which costs the kernel more.
    let normally_up = match stat(&dir.join(names::DOWN)) {
        Ok(_) => false,
        Err(Errno::ENOENT) => true,
        Err(e) => return Err(format!("unable to stat down: {}", Words(&e.into()))),
    };
    let record = Record::open(dir);
    if !record.as_ref().is_ok_and(Record::is_vouched_for) {
        match client::knock(dir) {
            Ok(()) => {}
            Err(e) if client::nobody_reads(&e) => return Err("supervise not running".into()),
            Err(e) => return Err(format!("unable to open {}: {}", names::OK, Words(&e))),
        }
    }
    let status = record.and_then(Record::read).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => format!("unable to read {}: {e}", names::STATUS),
        _ => format!("unable to open {}: {}", names::STATUS, Words(&e)),
    })?;
    Ok((status, normally_up))
}

/// The line for a status, normally up or not, at a time: in the words and the order of daemontools.
struct Line<'a>(&'a Status, bool, Tai64n);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(status, normally_up, now) = *self;
        let seconds = status.since.seconds_at(now);
        match status.pid {
            // daemontools reads the pid without a sign.
            Some(pid) => write!(f, "up (pid {}) {seconds} seconds", pid.cast_unsigned())?,
            None => write!(f, "down {seconds} seconds")?,
        }
        let up = status.pid.is_some();
        let remarks = [
            (up && !normally_up, ", normally down"),
            (!up && normally_up, ", normally up"),
            (up && status.paused, ", paused"),
            (!up && status.want == Want::Up, ", want up"),
            (up && status.want == Want::Down, ", want down"),
        ];
        remarks.iter().filter(|(applies, _)| *applies).try_for_each(|(_, remark)| f.write_str(remark))
    }
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
            assert_eq!(Line(&status, normally_up, at(107)).to_string(), expected);
        }
        let future = Status { since: at(100), pid: None, paused: false, want: Want::Down, more: None };
        assert_eq!(Line(&future, false, at(7)).to_string(), "down 0 seconds");
    }
}
