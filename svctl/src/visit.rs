//! Walking into service directories and back, and output whose names may be any bytes.

use nix::unistd::fchdir;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the program was started: relative names of directories count from here.
pub struct Start {
    place: File,
    /// Whether the working directory may be another one now.
    away: bool,
}

impl Start {
    /// Remembers the working directory.
    ///
    /// # Errors
    /// What opening it reports.
    pub fn here() -> io::Result<Self> {
        Ok(Self { place: File::open(".")?, away: false })
    }

    /// Goes to `dir`, wherever the program is now. An absolute name needs no way back before.
    ///
    /// # Errors
    /// What going there reports.
    pub fn go(&mut self, dir: &OsStr) -> io::Result<()> {
        if self.away && Path::new(dir).is_relative() {
            self.back()?;
        }
        std::env::set_current_dir(dir)?;
        self.away = true;
        Ok(())
    }

    fn back(&mut self) -> io::Result<()> {
        fchdir(&self.place)?;
        self.away = false;
        Ok(())
    }

    /// Goes to `dir`, does `work` there and comes back.
    ///
    /// # Errors
    /// What going to `dir` reports; then `work` was not done.
    pub fn within<T>(&mut self, dir: &OsStr, work: impl FnOnce() -> T) -> io::Result<T> {
        self.go(dir)?;
        let result = work();
        self.back()?;
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
