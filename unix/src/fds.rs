//! Descriptors: pipes that no child inherits, FIFOs, inherited descriptors.

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A pipe (read end, write end); both are closed on exec.
///
/// # Errors
/// What `pipe2` reports.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Opens a file non-blocking and closed on exec: FIFOs are opened this way, from either side.
///
/// # Errors
/// What `open` reports; ENXIO where a FIFO that is opened for writing has no reader.
pub fn open_nonblocking(path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(open(path, flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Sets close-on-exec on a descriptor that was inherited.
///
/// # Errors
/// What `fcntl` reports.
pub fn set_cloexec(fd: impl AsFd) -> io::Result<()> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}
