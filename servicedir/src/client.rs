//! The far side of a service directory: is supervise there, what does it say, send it letters.

use crate::names;
use crate::status::{FULL, Status};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::borrow::Cow;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use unix::fds::open_nonblocking;
use unix::marked::is_marked;

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
    open_nonblocking(&within(dir, names::OK), OFlag::O_WRONLY).map(drop)
}

/// Sends control letters to the supervise of `dir`, in one write.
///
/// # Errors
/// ENXIO ([`nobody_reads`]) when no supervise runs there; what opening or writing the FIFO reports.
pub fn send(dir: &Path, letters: &[u8]) -> io::Result<()> {
    let control = open_nonblocking(&dir.join(names::CONTROL), OFlag::O_WRONLY)?;
    fs::File::from(control).write_all(letters)
}

/// Reads the status of `dir`.
///
/// # Errors
/// What reading the file reports; `InvalidData` with the words `bad format` when it is too short, or `stale` while its
/// supervise says that it is wrong and cannot be replaced.
pub fn status(dir: &Path) -> io::Result<Status> {
    let bad = |words| io::Error::new(io::ErrorKind::InvalidData, words);
    let mut file = fs::File::from(open_nonblocking(&within(dir, names::STATUS), OFlag::O_RDONLY)?);
    if is_marked(&file) {
        return Err(bad("stale"));
    }
    let (mut bytes, mut filled) = ([0; FULL], 0);
    while filled < FULL {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Status::from_bytes(&bytes[..filled]).ok_or_else(|| bad("bad format"))
}

/// A file of `dir`; without a copy of its name where `dir` is the working directory, as an empty path.
fn within<'a>(dir: &Path, name: &'a str) -> Cow<'a, Path> {
    if dir.as_os_str().is_empty() { Path::new(name).into() } else { dir.join(name).into() }
}

/// Whether an error says that a FIFO has no reader, which means that no supervise runs.
pub fn nobody_reads(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENXIO as i32)
}
