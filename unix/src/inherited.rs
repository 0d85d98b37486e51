//! Descriptors that somebody else left open: a daemon must not keep a stranger's pipe or terminal.

use nix::errno::Errno;
use std::io;

/// Marks every descriptor above 2 close-on-exec, so that the program executed next starts with three.
///
/// # Errors
/// What `close_range` reports; ENOSYS before Linux 5.11.
pub fn close_on_exec() -> io::Result<()> {
    close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor above 2 but one. For the very beginning of a program, when it has opened nothing yet.
///
/// # Errors
/// What `close_range` reports.
pub fn close_all_but(kept: Option<u32>) -> io::Result<()> {
    let kept = kept.unwrap_or(2).max(2);
    if kept > 3 {
        close_range(3, kept - 1, 0)?;
    }
    close_range(kept + 1, libc::c_uint::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes integers only. With CLOEXEC it closes nothing in this process; without, whoever
    // calls says that nobody here owns these descriptors.
    let r = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(r)?;
    Ok(())
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
