//! `setlock [-nNxX] FILE CHILD…`: runs CHILD while holding an exclusive lock on FILE, which is made if need be.
//!
//! `-n` gives up when another holds it, `-N` waits (default); `-x` exits 0 in silence when FILE cannot be opened or
//! locked, `-X` says so and exits 111 (default). CHILD inherits the descriptor: the lock lasts until all who have it
//! have closed it.
//!
//! Exit codes: 100 wrong usage; 111 trouble; 0 trouble with FILE under -x; else CHILD's own.
#![forbid(unsafe_code)]

use nix::fcntl::{Flock, FlockArg, OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use tools::environment::Environment;
use tools::failure::Failure;
use tools::{child, options};

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| failure.tell("setlock", "setlock [ -nNxX ] file program [ arg ... ]"))
}

fn run() -> Result<ExitCode, Failure> {
    let takes = |letter| b"nNxX".contains(&letter).then_some(false);
    let options = options::parse(std::env::args_os().skip(1), takes, |_| true)?;
    let [file, child @ ..] = options.operands.as_slice() else { return Err(Failure::Usage) };
    if child.is_empty() {
        return Err(Failure::Usage);
    }
    let last_of =
        |pair: &[u8]| options.given.iter().map(|given| given.0).rfind(|letter| pair.contains(letter));
    let (wait, quiet) = (last_of(b"nN") != Some(b'n'), last_of(b"xX") == Some(b'x'));
    match lock(file.as_bytes(), wait) {
        // The descriptor is the lock: it stays open for the child.
        Ok(held) => std::mem::forget(held),
        Err(_) if quiet => return Ok(ExitCode::SUCCESS),
        Err(failure) => return Err(failure),
    }
    child::prepare("setlock", child, Environment::inherited()).run()
}

fn lock(file: &[u8], wait: bool) -> Result<Flock<OwnedFd>, Failure> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK;
    let opened = open(file, flags, Mode::from_bits_truncate(0o600))
        .map_err(|errno| Failure::of(&[b"unable to open ", file], errno))?;
    let how = if wait { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
    Flock::lock(opened, how).map_err(|(_, errno)| Failure::of(&[b"unable to lock ", file], errno))
}
