//! `envuidgid ACCOUNT CHILD…`: runs CHILD with the variables UID and GID, those of ACCOUNT.
//!
//! Exit codes: 100 wrong usage; 111 no such account, or CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::process::ExitCode;
use tools::environment::Environment;
use tools::failure::Failure;
use tools::{account, child};

fn main() -> ExitCode {
    let Err(failure) = run();
    failure.tell("envuidgid", "envuidgid account child")
}

fn run() -> Result<Infallible, Failure> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [name, child @ ..] = words.as_slice() else { return Err(Failure::Usage) };
    if child.is_empty() {
        return Err(Failure::Usage);
    }
    let user = account::find(name)?;
    let mut environment = Environment::inherited();
    environment.set(b"GID", user.gid.to_string().as_bytes());
    environment.set(b"UID", user.uid.to_string().as_bytes());
    child::prepare("envuidgid", child, environment).run()
}
