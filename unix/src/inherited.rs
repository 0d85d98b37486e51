//! Descriptors that somebody else left open: a daemon must not keep a stranger's pipe or terminal.

use nix::errno::Errno;
use std::io;

/// Marks every descriptor above 2 close-on-exec, so that the program executed next starts with three.
///
/// # Errors
/// What `close_range` reports; ENOSYS before Linux 5.11.
pub fn close_on_exec() -> io::Result<()> {
    mark(3, libc::c_uint::MAX)
}

/// As [`close_on_exec`], but leaves one descriptor as it is.
///
/// # Errors
/// What `close_range` reports.
pub fn close_on_exec_except(kept: u32) -> io::Result<()> {
    if kept > 3 {
        mark(3, kept - 1)?;
    }
    mark(kept.max(2) + 1, libc::c_uint::MAX)
}

fn mark(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: close_range takes integers only; with CLOEXEC it closes nothing in this process.
    let r = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(r)?;
    Ok(())
}

/// Closes a descriptor that was handed over by its number. Says nothing when there is none.
pub fn close(fd: i32) {
    let _ = nix::unistd::close(fd);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::fs::File;

    #[test]
    fn every_descriptor_is_closed_on_exec_afterwards() {
        let file = File::open("/dev/null").unwrap();
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        close_on_exec().unwrap();
        let flags = FdFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
    }
}
