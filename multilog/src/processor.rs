//! The program that a log goes through when it is rotated.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Runs `sh -c PROCESSOR` in the log directory: descriptor 0 is `previous`, 1 `processed`, 4 `state`, 5
/// `newstate`.
///
/// # Errors
/// What opening the files or starting the shell reports.
pub fn run(dir: &Path, processor: &OsStr) -> io::Result<ExitStatus> {
    // The shell itself opens the two that std has no way to pass on.
    const FRAME: &str = r#"exec sh -c "$1" 4<state 5>newstate"#;
    Command::new("sh")
        .args(["-c", FRAME, "sh"])
        .arg(processor)
        .current_dir(dir)
        .stdin(Stdio::from(File::open(dir.join("previous"))?))
        .stdout(Stdio::from(File::create(dir.join("processed"))?))
        .status()
}
