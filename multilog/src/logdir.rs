//! One log directory: `current`, and old logs `@LABEL.s` (safely written) and `@LABEL.u` (found unfinished).
//!
//! The owner's x bit of a file says that it is complete and on disk.

use crate::{old, processor, say};
use multilog::script::Limits;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use unix::tai64n::Tai64n;
use unix::words::Words;

const OPEN: u32 = 0o644;
const FINISHED: u32 = 0o744;
const OWNERS_X: u32 = 0o100;
/// A log may end this many bytes before its size, if that is at a line end.
const WINDOW: u64 = 2000;

/// An open log directory.
pub struct LogDir {
    dir: PathBuf,
    limits: Limits,
    current: File,
    size: u64,
    at_line_end: bool,
    _lock: Flock<File>,
}

/// What could not be done with what.
pub struct Trouble {
    /// The beginning of the sentence: `unable to write to DIR/current`.
    pub sentence: Vec<u8>,
    /// Why.
    pub error: Option<io::Error>,
}

impl LogDir {
    /// Makes the directory if need be, locks it, and finishes what an earlier multilog left.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, Trouble> {
        let trouble = |verb: &str, name: &str, e| trouble(dir, verb, name, e);
        // Where it cannot be made it may be there already: that shows when it is opened.
        let _ = DirBuilder::new().mode(0o700).create(dir);
        OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECTORY.bits())
            .open(dir)
            .map_err(|e| trouble("open directory", "", e))?;
        let lock = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join("lock"));
        let lock = lock.map_err(|e| trouble("open", "lock", e))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| trouble("lock directory", "", errno.into()))?;
        if !is_finished(&dir.join("current")).map_err(|e| trouble("stat", "current", e))? {
            recover(dir).map_err(|e| trouble("recover", "current", e))?;
        }
        touch(&dir.join("state")).map_err(|e| trouble("write to", "state", e))?;
        let current = open_current(dir).map_err(|e| trouble("write to", "current", e))?;
        let size = current.metadata().map_err(|e| trouble("stat", "current", e))?.len();
        let mut log = Self { dir: dir.into(), limits, current, size, at_line_end: true, _lock: lock };
        if log.size > log.limits.size {
            log.rotate()?;
        }
        log.prune();
        Ok(log)
    }

    /// Appends as much of `data` as goes without trouble, rotating on the way, and says how much that was.
    pub fn append(&mut self, data: &[u8]) -> (usize, Result<(), Trouble>) {
        let mut done = 0;
        loop {
            // First, as a rotation that failed is to be taken up again before anything else is written.
            if is_full(self.size, self.limits.size, self.at_line_end)
                && let Err(trouble) = self.rotate()
            {
                return (done, Err(trouble));
            }
            if done == data.len() {
                return (done, Ok(()));
            }
            let piece = next_piece(&data[done..], self.size, self.limits.size);
            match self.current.write(&data[done..done + piece]) {
                Ok(n) => {
                    done += n;
                    self.size += n as u64;
                    self.at_line_end = done > 0 && data[done - 1] == b'\n';
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return (done, Err(self.trouble("write to", "current", e))),
            }
        }
    }

    /// Rotates if there is something in `current` and its last line is whole. False = not now.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn rotate_now(&mut self) -> Result<bool, Trouble> {
        if !self.at_line_end {
            return Ok(false);
        }
        if self.size > 0 {
            self.rotate()?;
        }
        Ok(true)
    }

    /// Marks `current` as finished and on disk.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn finish(&self) -> Result<(), Trouble> {
        self.current.sync_all().map_err(|e| self.trouble("fsync", "current", e))?;
        self.mark("current")
    }

    fn trouble(&self, verb: &str, name: &str, error: io::Error) -> Trouble {
        trouble(&self.dir, verb, name, error)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn mark(&self, name: &str) -> Result<(), Trouble> {
        fs::set_permissions(self.path(name), Permissions::from_mode(FINISHED))
            .map_err(|e| self.trouble("chmod", name, e))
    }

    /// Each step can be done again: after trouble, rotation begins anew.
    fn rotate(&mut self) -> Result<(), Trouble> {
        self.current.sync_all().map_err(|e| self.trouble("fsync", "current", e))?;
        if !self.path("previous").exists() {
            fs::rename(self.path("current"), self.path("previous"))
                .map_err(|e| self.trouble("rename", "current", e))?;
        }
        self.mark("previous")?;
        match self.limits.processor.clone() {
            None => self.keep("previous", "s")?,
            Some(processor) => self.process(&processor)?,
        }
        self.current = open_current(&self.dir).map_err(|e| self.trouble("write to", "current", e))?;
        self.size = 0;
        self.at_line_end = true;
        self.prune();
        Ok(())
    }

    fn process(&self, processor: &OsString) -> Result<(), Trouble> {
        let status =
            processor::run(&self.dir, processor).map_err(|e| self.trouble("start", "processor", e))?;
        if !status.success() {
            let verb: &[u8] = if status.signal().is_some() { b"crashed" } else { b"failed" };
            let dir = self.dir.as_os_str().as_bytes();
            return Err(Trouble {
                sentence: [b"processor ".as_slice(), verb, b" in ", dir].concat(),
                error: None,
            });
        }
        for name in ["processed", "newstate"] {
            let file = File::open(self.path(name)).map_err(|e| self.trouble("read", name, e))?;
            file.sync_all().map_err(|e| self.trouble("fsync", name, e))?;
        }
        self.mark("processed")?;
        fs::remove_file(self.path("previous")).map_err(|e| self.trouble("unlink", "previous", e))?;
        fs::rename(self.path("newstate"), self.path("state"))
            .map_err(|e| self.trouble("rename", "newstate", e))?;
        self.keep("processed", "s")
    }

    fn keep(&self, name: &str, end: &str) -> Result<(), Trouble> {
        keep(&self.dir, name, end).map_err(|e| self.trouble("link", name, e))
    }

    /// Removes the oldest logs beyond the number. One that cannot be removed is no reason to stop.
    fn prune(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for name in old::too_many(entries.map(|entry| entry.file_name()).collect(), self.limits.number) {
            if let Err(e) = fs::remove_file(self.dir.join(&name)) {
                let (dir, words) = (self.dir.as_os_str().as_bytes(), Words(&e).to_string());
                let name = name.as_bytes();
                say(&[b"multilog: warning: unable to unlink ", dir, b"/", name, b": ", words.as_bytes()]
                    .concat());
            }
        }
    }
}

/// How much of `data` goes into a log of `size` bytes that may have `limit`: all of it, or up to the last line
/// end near the limit, or, where the line is longer than that, exactly to the limit.
fn next_piece(data: &[u8], size: u64, limit: u64) -> usize {
    let room = usize::try_from(limit.saturating_sub(size)).unwrap_or(usize::MAX);
    if data.len() < room {
        return data.len();
    }
    let near = room.saturating_sub(usize::try_from(WINDOW).unwrap_or(0));
    match memchr::memrchr(b'\n', &data[..room]) {
        Some(end) if end + 1 >= near => end + 1,
        _ => room,
    }
}

fn is_full(size: u64, limit: u64, at_line_end: bool) -> bool {
    size >= limit || (at_line_end && size + WINDOW >= limit)
}

fn trouble(dir: &Path, verb: &str, name: &str, error: io::Error) -> Trouble {
    let (dir, slash) = (dir.as_os_str().as_bytes(), if name.is_empty() { "" } else { "/" });
    let sentence = [format!("unable to {verb} ").as_bytes(), dir, slash.as_bytes(), name.as_bytes()].concat();
    Trouble { sentence, error: Some(error) }
}

fn is_finished(file: &Path) -> io::Result<bool> {
    match fs::metadata(file) {
        Ok(meta) => Ok(meta.mode() & OWNERS_X != 0),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Finishes what a multilog that was killed left behind.
fn recover(dir: &Path) -> io::Result<()> {
    let (current, previous, processed) = (dir.join("current"), dir.join("previous"), dir.join("processed"));
    remove(&dir.join("state"))?;
    remove(&dir.join("newstate"))?;
    if is_finished(&processed)? {
        remove(&previous)?;
        keep(dir, "processed", "s")?;
    } else {
        remove(&processed)?;
        match fs::metadata(&previous) {
            Ok(meta) if meta.nlink() > 1 => fs::remove_file(&previous)?,
            Ok(_) => keep(dir, "previous", "u")?,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    if current.exists() {
        keep(dir, "current", "u")?;
    }
    Ok(())
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Gives a file the name of an old log of this moment; never the name of another.
fn keep(dir: &Path, name: &str, end: &str) -> io::Result<()> {
    loop {
        let label = Tai64n::now().label();
        let old = format!("{}.{end}", String::from_utf8_lossy(&label));
        match fs::hard_link(dir.join(name), dir.join(old)) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => return fs::remove_file(dir.join(name)),
        }
    }
}

fn touch(file: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(OPEN).open(file).map(drop)
}

fn open_current(dir: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(OPEN).open(dir.join("current"))?;
    file.set_permissions(Permissions::from_mode(OPEN))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_at_a_line_end_near_its_size_or_exactly_at_it() {
        let lines = b"0123456789\n".repeat(1000);
        assert_eq!(next_piece(&lines[..110], 0, 4096), 110);
        let end = next_piece(&lines, 0, 4096);
        assert_eq!((end, lines[end - 1]), (4092, b'\n'));
        let long = vec![b'x'; 10_000];
        assert_eq!(next_piece(&long, 0, 4096), 4096);
        assert_eq!(next_piece(&long, 4000, 4096), 96);
    }

    #[test]
    fn a_log_is_full_at_its_size_or_at_a_line_end_within_2000_bytes_of_it() {
        for (size, at_line_end, full) in
            [(4096, false, true), (2096, true, true), (2095, true, false), (4000, false, false)]
        {
            assert_eq!(is_full(size, 4096, at_line_end), full, "{size} {at_line_end}");
        }
    }
}
