//! Transcripts: what a shell line says and how it ends.
#![allow(dead_code, reason = "each test file uses its part of it")]

use tests::{Done, Sandbox};

/// A shell line, its exit code, what it writes to standard output and to standard error.
pub type Transcript<'a> = (&'a str, i32, &'a str, &'a str);

/// Runs each line in a shell, in the sandbox's folder and with the programs under test first in PATH.
#[track_caller]
pub fn transcripts(sandbox: &Sandbox, table: &[Transcript]) {
    for (line, code, out, err) in table {
        assert_eq!(shell(sandbox, line).told(), (*code, *out, *err), "{line}");
    }
}

/// Runs a line in a shell.
pub fn shell(sandbox: &Sandbox, line: &str) -> Done {
    sandbox.run("/bin/sh", &["-c", line])
}

/// Whether the tests run as root; says so when they do not.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("not root: other accounts cannot be tried");
    }
    root
}
