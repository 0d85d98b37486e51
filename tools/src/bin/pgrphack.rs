//! `pgrphack CHILD…`: runs CHILD as leader of a new session and process group.
//!
//! Exit codes: 100 wrong usage; 111 CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use nix::unistd::setsid;
use std::process::ExitCode;
use tools::child;
use tools::environment::Environment;
use tools::failure::Failure;

fn main() -> ExitCode {
    let child: Vec<_> = std::env::args_os().skip(1).collect();
    if child.is_empty() {
        return Failure::Usage.tell("pgrphack", "pgrphack child");
    }
    // Who leads a group already cannot have a session of its own, and stays what it is: so does daemontools.
    let _ = setsid();
    child::prepare("pgrphack", &child, Environment::inherited()).run()
}
