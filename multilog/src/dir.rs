//! The files of one log directory, by their names in it. The directory is held open: it may be renamed.

use nix::dir::Dir as Entries;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, fstatat, mkdirat, stat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The mode of a file that may still grow.
pub const OPEN: Mode = Mode::from_bits_truncate(0o644);
/// The mode of a file that is complete and on disk.
pub const FINISHED: Mode = Mode::from_bits_truncate(0o744);

/// An open directory.
pub struct Dir {
    /// Its path as it was given, for messages.
    pub path: PathBuf,
    fd: OwnedFd,
}

impl Dir {
    /// Makes it if need be, and opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Where it cannot be made it may be there already: that shows when it is opened.
        let _ = mkdirat(AT_FDCWD, path, Mode::from_bits_truncate(0o700));
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { path: path.into(), fd: openat(AT_FDCWD, path, flags, Mode::empty())? })
    }

    /// The descriptor once more, for somebody else.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Opens a file for appending; makes it, 0600, where there is none.
    pub fn append(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT, 0o600)
    }

    /// Makes a file, 0644, or empties it.
    pub fn empty(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CREAT, 0o644)
    }

    /// Opens a file for reading.
    pub fn read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlag::O_RDONLY, 0)
    }

    fn open_file(&self, name: &str, flags: OFlag, mode: u32) -> io::Result<File> {
        // Without waiting, should somebody have put a FIFO there.
        let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.fd, name, flags, Mode::from_bits_truncate(mode))?.into())
    }

    /// Looks at a file.
    pub fn stat(&self, name: &str) -> io::Result<FileStat> {
        Ok(fstatat(&self.fd, name, AtFlags::empty())?)
    }

    /// Looks at a file that may not be there.
    pub fn find(&self, name: &str) -> io::Result<Option<FileStat>> {
        match self.stat(name) {
            Ok(stat) => Ok(Some(stat)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Gives a file the mode of one that is complete and on disk.
    pub fn mark(&self, name: &str) -> io::Result<()> {
        Ok(fchmodat(&self.fd, name, FINISHED, FchmodatFlags::FollowSymlink)?)
    }

    /// Renames a file; what had the new name before is gone.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives a file a second name.
    pub fn link(&self, name: &str, second: &[u8]) -> io::Result<()> {
        Ok(linkat(&self.fd, name, &self.fd, second, AtFlags::empty())?)
    }

    /// Removes a file.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Whether it is still the one that its path leads to.
    pub fn is_at_its_path(&self) -> bool {
        let identity = |stat: FileStat| (stat.st_dev, stat.st_ino);
        let there = stat(&self.path).map(identity);
        there.is_ok() && there == fstat(&self.fd).map(identity)
    }

    /// All names in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut entries = Entries::openat(&self.fd, ".", flags, Mode::empty())?;
        let name = |entry: nix::Result<nix::dir::Entry>| {
            Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec()))
        };
        entries.iter().map(name).collect()
    }
}
