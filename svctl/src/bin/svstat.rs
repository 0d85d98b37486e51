//! `svstat DIR…`: says of each service directory, in a line, whether its service is up and for how long.
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
    for dir in std::env::args_os().skip(1) {
        let line = report(&start, &dir);
        // A reader that went away (`| head`) has had what it wanted.
        if out.write_all(&[bytes(&dir), b": ", line.as_bytes(), b"\n"].concat()).is_err() {
            break;
        }
    }
    let _ = out.flush();
    ExitCode::SUCCESS
}

fn report(start: &Start, dir: &OsStr) -> String {
    match start.within(dir, inspect) {
        Ok(Ok(line) | Err(line)) => line,
        Err(e) => format!("unable to chdir: {}", Words(&e)),
    }
}

/// What is to be said of the service directory that is the working directory; trouble is said likewise.
fn inspect() -> Result<String, String> {
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
    Ok(line(&status, normally_up, Tai64n::now()))
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
