//! `fghack CHILD…`: runs CHILD and stays until it has ended and so have all that it left in the background.
//!
//! They are known by descriptors: CHILD gets many that write to a pipe, as a daemon that closes some will hardly
//! close all of them. What comes through the pipe is thrown away.
//!
//! Exit codes: 100 wrong usage; 111 CHILD was killed, cannot be run, or other trouble; else CHILD's own.
#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup, pipe2, read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use tools::child;
use tools::environment::Environment;
use tools::failure::Failure;
use unix::execution::Execution;
use unix::fds;

/// Descriptors beyond the pipe's own.
const MORE: usize = 30;

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| failure.tell("fghack", "fghack child"))
}

fn run() -> Result<ExitCode, Failure> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words.is_empty() {
        return Err(Failure::Usage);
    }
    let (reader, child) = start(&child::prepare("fghack", &words, Environment::inherited()))?;
    // Whatever happens to the pipe, the child's end is waited for.
    let mut bytes = [0; 4096];
    while matches!(read(&reader, &mut bytes), Ok(1..) | Err(Errno::EINTR)) {}
    match waitpid(child, None).map_err(|errno| Failure::of(&[b"wait failed"], errno))? {
        WaitStatus::Exited(_, code) => Ok(ExitCode::from(code as u8)), // a code has eight bits
        _ => Err(Failure::Fatal(b"child crashed".to_vec(), None)),
    }
}

/// Starts the child with the pipe's writing end and [`MORE`] copies of it, in the lowest descriptors there are; returns
/// the reading end.
fn start(child: &Execution) -> Result<(OwnedFd, Pid), Failure> {
    let (reader, writer) = pipe2(OFlag::empty()).map_err(|e| Failure::of(&[b"unable to create pipe"], e))?;
    let reader = fds::move_up(reader, 100);
    let mut copies: Vec<_> = (0..MORE).map_while(|_| dup(&writer).ok()).collect();
    if copies.len() < MORE {
        // Descriptors are scarce: fewer must do, and the child needs some of its own.
        copies.truncate(copies.len() / 2);
    }
    let started = child.start().map_err(|e| Failure::of(&[b"unable to fork"], e))?;
    drop((writer, copies));
    Ok((reader, started))
}
