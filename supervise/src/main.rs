//! `supervise DIR`: runs DIR/run, starts it again at a limited rate when it ends, obeys svc, reports to svstat.
//!
//! | file | idea |
//! |---|---|
//! | `machine.rs` | what is decided: a pure machine |
//! | `supervisor.rs` | the loop: waits, and has the machine decide |
//! | `perform.rs` | what was decided, done: launching, signalling, recording |
//! | `child.rs` | the one child: on record before it runs, or adopted from an earlier supervise |
//! | `settings.rs` | the settings, read by the helper `service-config` |
//! | `notify.rs` | the command that is told of problems |
//! | `saying.rs` | a line once a minute |
//!
//! The service directory as seen by others is in the library `servicedir`.
//! Exit codes: 0 told to exit and the service is down; 100 wrong usage; 111 trouble at the start.
#![forbid(unsafe_code)]

mod child;
mod machine;
mod notify;
mod perform;
mod saying;
mod settings;
mod supervisor;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [dir] = args.as_slice() else {
        say(b"supervise: usage: supervise dir");
        return ExitCode::from(100);
    };
    match supervisor::Supervisor::open(dir).and_then(supervisor::Supervisor::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            say(&[b"supervise: fatal: ", fatal.0.as_slice()].concat());
            ExitCode::from(111)
        }
    }
}

/// A line on standard error, which svscan's caller has sent where it wants it. Names may be any bytes.
fn say(line: &[u8]) {
    use std::io::Write;
    // Nobody is left to be told when standard error is gone.
    let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
}
