//! A status file: always the last line that was selected.

use crate::trouble::Trouble;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use multilog::machine::PAUSE;

/// The size of a status file: a line of up to 1000 characters, and newlines.
const SIZE: usize = 1001;

/// An open status file.
pub struct Status {
    path: PathBuf,
    file: File,
    content: [u8; SIZE],
    /// Whether the content is not in the file yet.
    due: bool,
    /// Not before this time, after trouble.
    wait: Duration,
}

impl Status {
    /// Makes the file if need be. What it holds stays until the first line.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let open = |create| {
            let mut options = OpenOptions::new();
            options.write(true).create(create).truncate(false).mode(0o600);
            // Without waiting, should it be a FIFO.
            options.custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)
        };
        let trouble = |e: io::Error| Trouble::with_path("unable to create ", path, e);
        let file = open(true).map_err(trouble)?;
        Ok(Self { path: path.into(), file, content: [b'\n'; SIZE], due: false, wait: Duration::ZERO })
    }

    /// Takes a line; of several before the next [`drive`](Self::drive) only the last is written.
    pub fn show(&mut self, line: &[u8]) {
        let (text, rest) = self.content.split_at_mut(line.len().min(SIZE - 1));
        text.copy_from_slice(&line[..text.len()]);
        rest.fill(b'\n');
        self.due = true;
    }

    /// Writes what is due. A time: there was trouble, which was said; to be called again then.
    pub fn drive(&mut self, now: Duration) -> Option<Duration> {
        if !self.due || now < self.wait {
            return self.due.then_some(self.wait);
        }
        match self.file.write_all_at(&self.content, 0) {
            Ok(()) => {
                self.due = false;
                None
            }
            Err(e) => {
                Trouble::with_path("unable to write ", &self.path, e).say_pausing();
                self.wait = now + PAUSE;
                Some(self.wait)
            }
        }
    }
}
