//! `envdir D CHILD…`: runs CHILD with the environment changed by the files in directory D.
//!
//! A file NAME sets the variable NAME to its first line (`value.rs` says how); an empty one removes it, as does a
//! link that leads nowhere. Names with a dot in front are passed over.
//!
//! Exit codes: 111 wrong usage, D cannot be read, or CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use tools::environment::Environment;
use tools::failure::Failure;
use tools::{child, value};

fn main() -> ExitCode {
    let Err(failure) = run();
    let _ = failure.tell("envdir", "envdir dir child");
    ExitCode::from(111)
}

fn run() -> Result<Infallible, Failure> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [dir, child @ ..] = words.as_slice() else { return Err(Failure::Usage) };
    if child.is_empty() {
        return Err(Failure::Usage);
    }
    let start =
        working_directory().map_err(|e| Failure::of(&[b"unable to switch to current directory"], e))?;
    std::env::set_current_dir(dir)
        .map_err(|e| Failure::of(&[b"unable to switch to directory ", dir.as_bytes()], e))?;
    let mut environment = Environment::inherited();
    change(&mut environment, dir)?;
    fchdir(start).map_err(|e| Failure::of(&[b"unable to switch to starting directory"], e))?;
    child::prepare("envdir", child, environment).run()
}

/// A way back, also to where we may not read.
fn working_directory() -> io::Result<OwnedFd> {
    Ok(open(".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Applies the files of the working directory, which was given as `dir`.
fn change(environment: &mut Environment, dir: &OsStr) -> Result<(), Failure> {
    let unreadable = |e| Failure::of(&[b"unable to read directory ", dir.as_bytes()], e);
    for entry in fs::read_dir(".").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        let line = first_line(&name)
            .map_err(|e| Failure::of(&[b"unable to read ", dir.as_bytes(), b"/", name.as_bytes()], e))?;
        match line {
            Some(line) => environment.set(name.as_bytes(), &value::of_line(&line)),
            None => environment.remove(name.as_bytes()),
        }
    }
    Ok(())
}

/// The first line of a file; `None` when it is empty or not there. Never waits for a FIFO's writer.
fn first_line(name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let open = |name| -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(name)
    };
    match open(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => value::first_line(other?),
    }
}
