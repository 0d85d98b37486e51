//! `setuidgid ACCOUNT CHILD…`: runs CHILD under the uid and gid of ACCOUNT, without supplementary groups.
//!
//! Exit codes: 100 wrong usage; 111 no such account, or CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use nix::unistd::{User, setgid, setgroups, setuid};
use std::convert::Infallible;
use std::process::ExitCode;
use tools::environment::Environment;
use tools::failure::Failure;
use tools::{account, child};

fn main() -> ExitCode {
    let Err(failure) = run();
    failure.tell("setuidgid", "setuidgid account child")
}

fn run() -> Result<Infallible, Failure> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [name, child @ ..] = words.as_slice() else { return Err(Failure::Usage) };
    if child.is_empty() {
        return Err(Failure::Usage);
    }
    become_account(&account::find(name)?)?;
    child::prepare("setuidgid", child, Environment::inherited()).run()
}

/// One group, then the user: in that order, as a user may not change groups.
fn become_account(user: &User) -> Result<(), Failure> {
    setgroups(&[user.gid])
        .and_then(|()| setgid(user.gid))
        .map_err(|errno| Failure::of(&[b"unable to setgid"], errno))?;
    setuid(user.uid).map_err(|errno| Failure::of(&[b"unable to setuid"], errno))
}
