//! `svscan [--check] [DIR]`: starts one supervise per service directory in DIR and one per its `log/`, connected by a
//! pipe that outlives both. With `--check` it only says what it would do, and what is wrong.
//!
//! | file | idea |
//! |---|---|
//! | `plan.rs` | what is decided: which supervises to start, start again, wait for, forget; pure |
//! | `plan/agenda.rs` | what of that waits for which moment |
//! | `shutdown.rs` | the orderly, bounded end, as it is decided; pure |
//! | `scanner.rs` | the loop that performs what was decided |
//! | `ending.rs` | the end, as it is carried out |
//! | `listing.rs` | reading the scan directory |
//! | `watch.rs` | noticing changes at once (inotify) |
//! | `starter.rs` | starting supervises, a few at a time |
//! | `found.rs` | supervises that an earlier svscan started |
//! | `pair.rs` | the pipes from services to their loggers, and how they are regained |
//! | `limits.rs` | the limit on open files |
//! | `warnings.rs` | one line per cause and minute |
//! | `check.rs` | `--check` |
//!
//! Signals: HUP scans now; TERM and INT stop all services and end, a second one hurries.
//! Exit codes: 0 all stopped by themselves; 1 something had to be killed (with `--check`: something is wrong); 100 wrong
//! usage of `--check`; 111 trouble at the start.
#![forbid(unsafe_code)]

mod check;
mod ending;
mod found;
mod limits;
mod listing;
mod pair;
mod plan;
mod scanner;
mod shutdown;
mod starter;
mod warnings;
mod watch;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use unix::words::Words;

const HELP: &str = "\
usage: svscan [DIR]          starts one supervise per service directory in DIR (default: the working directory)
       svscan --check [DIR]  says what it would do with each entry of DIR and what is wrong; changes nothing
       svscan --help         this
With --check the exit code is 0 when all is fine, 1 when something is wrong, 111 when DIR cannot be read.
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // daemontools knows no option, and looks at its first argument only. A directory of such a name is ./--check.
    let (check, dir) = match &arguments[..] {
        [word] if word == "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [word, dirs @ ..] if word == "--check" && dirs.len() <= 1 => (true, dirs.first()),
        [word, ..] if word == "--check" => {
            eprintln!("svscan: usage: svscan [--check] [dir]");
            return ExitCode::from(100);
        }
        all => (false, all.first()),
    };
    if let Some(dir) = dir
        && let Err(e) = std::env::set_current_dir(dir)
    {
        return fatal(&[b"unable to chdir to ", dir.as_bytes(), b": "], &e);
    }
    if check {
        let name = dir.map_or(OsStr::new("."), OsString::as_os_str);
        return match check::check(name) {
            Ok(code) => ExitCode::from(code),
            Err(e) => fatal(&[b"unable to check directory ", name.as_bytes(), b": "], &e),
        };
    }
    match scanner::Scanner::new() {
        Ok(scanner) => ExitCode::from(scanner.run()),
        Err(e) => fatal(&[b"unable to watch for signals: "], &e),
    }
}

fn fatal(what: &[&[u8]], e: &io::Error) -> ExitCode {
    let line = [b"svscan: fatal: ", what.concat().as_slice(), format!("{}\n", Words(e)).as_bytes()].concat();
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().write_all(&line);
    ExitCode::from(111)
}
