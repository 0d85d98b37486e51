//! The far side of a service directory: is supervise there, what does it say, send it letters.

use crate::names;
use crate::status::{self, FULL, Status};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use unix::fds::open_nonblocking;
use unix::marked::marked;

/// Whether a supervise runs in `dir`.
///
/// # Errors
/// What opening `supervise/ok` reports, other than that nobody reads it or that it is not there.
pub fn is_running(dir: &Path) -> io::Result<bool> {
    match knock(dir) {
        Ok(()) => Ok(true),
        Err(e) if nobody_reads(&e) || e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Opens `supervise/ok`, which goes well exactly while a supervise runs in `dir`.
///
/// # Errors
/// ENXIO ([`nobody_reads`]) when no supervise runs there; what opening the FIFO reports.
pub fn knock(dir: &Path) -> io::Result<()> {
    open_nonblocking(&dir.join(names::OK), OFlag::O_WRONLY).map(drop)
}

/// Sends control letters to the supervise of `dir`, in one write.
///
/// # Errors
/// ENXIO ([`nobody_reads`]) when no supervise runs there; what opening or writing the FIFO reports.
pub fn send(dir: &Path, letters: &[u8]) -> io::Result<()> {
    control(dir)?.write_all(letters)
}

/// Opens the FIFO that the supervise of `dir` reads its letters from.
///
/// # Errors
/// ENXIO ([`nobody_reads`]) when no supervise runs there; what opening the FIFO reports.
pub fn control(dir: &Path) -> io::Result<fs::File> {
    Ok(open_nonblocking(&dir.join(names::CONTROL), OFlag::O_WRONLY)?.into())
}

/// Whether the supervise of `dir` has not read all letters yet.
///
/// # Errors
/// What opening the FIFO reports.
pub fn has_unread(dir: &Path) -> io::Result<bool> {
    let control = open_nonblocking(&dir.join(names::CONTROL), OFlag::O_RDONLY)?;
    let mut fds = [PollFd::new(control.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)))
}

/// Reads the status of `dir`.
///
/// # Errors
/// What [`Record::open`] and [`Record::read`] report.
pub fn status(dir: &Path) -> io::Result<Status> {
    Record::open(dir)?.read()
}

/// A status that is open, and what its supervise says of it.
pub struct Record {
    file: fs::File,
    mark: Option<i64>,
}

impl Record {
    /// Opens the status of `dir`.
    ///
    /// # Errors
    /// What opening the file reports.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = fs::File::from(open_nonblocking(&dir.join(names::STATUS), OFlag::O_RDONLY)?);
        let mark = marked(&file);
        Ok(Self { file, mark })
    }

    /// Whether its supervise says that it is right, and so runs. A daemontools' one says nothing, nor does one on a file
    /// system without locks: [`knock`] there.
    pub fn is_vouched_for(&self) -> bool {
        self.mark == Some(status::RIGHT)
    }

    /// Reads it.
    ///
    /// # Errors
    /// What reading the file reports; `InvalidData` with the words `bad format` when it is too short, or `stale` while its
    /// supervise says that it is wrong and cannot be replaced.
    pub fn read(mut self) -> io::Result<Status> {
        let bad = |words| io::Error::new(io::ErrorKind::InvalidData, words);
        if self.mark == Some(status::WRONG) {
            return Err(bad("stale"));
        }
        let (mut bytes, mut filled) = ([0; FULL], 0);
        while filled < FULL {
            match self.file.read(&mut bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        Status::from_bytes(&bytes[..filled]).ok_or_else(|| bad("bad format"))
    }
}

/// Whether an error says that a FIFO has no reader, which means that no supervise runs.
pub fn nobody_reads(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENXIO as i32)
}
