//! Walking into service directories and back, and output whose names may be any bytes.

use nix::unistd::fchdir;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

/// Where the program was started: relative names of directories count from here.
pub struct Start(File);

impl Start {
    /// Remembers the working directory.
    ///
    /// # Errors
    /// What opening it reports.
    pub fn here() -> io::Result<Self> {
        File::open(".").map(Self)
    }

    /// Goes to `dir`, does `work` there and comes back.
    ///
    /// # Errors
    /// What going to `dir` and back reports; where it was going to `dir`, `work` was not done.
    pub fn within<T>(&self, dir: &OsStr, work: impl FnOnce() -> T) -> io::Result<T> {
        std::env::set_current_dir(dir)?;
        let result = work();
        fchdir(&self.0)?;
        Ok(result)
    }
}

/// Writes the parts as one line to standard error; names are passed through byte by byte.
pub fn complain(parts: &[&[u8]]) {
    let mut line = parts.concat();
    line.push(b'\n');
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().write_all(&line);
}

/// The bytes of a name.
pub fn bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}
