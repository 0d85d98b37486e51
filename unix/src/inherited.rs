//! Descriptors that somebody else left open: a daemon must not keep a stranger's pipe or terminal.

use nix::errno::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, FromRawFd};

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

/// Writes a word to a descriptor above 2 that was handed over by its number, and closes it. Written to itself, not to
/// what /proc names: whoever gave up its privileges may not open again what it was given. Whoever handed it over may
/// be gone: then nobody is told.
pub fn tell(fd: u32, word: &[u8]) {
    let Ok(fd) = i32::try_from(fd) else { return };
    if fd > 2 && nix::fcntl::fcntl(numbered(fd), nix::fcntl::FcntlArg::F_GETFD).is_ok() {
        // SAFETY: it is open, and was handed to this process for exactly this; nothing else here owns it.
        let mut file = unsafe { File::from_raw_fd(fd) };
        let _ = file.write_all(word);
    }
}

/// The descriptor with this number, open or not, to be asked about.
fn numbered(fd: i32) -> BorrowedFd<'static> {
    // SAFETY: the number is not -1, and it is only asked whether it is open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::io::Read;
    use std::os::fd::IntoRawFd;

    #[test]
    fn who_handed_a_descriptor_over_is_told_and_sees_its_end() {
        let (mut from, to) = io::pipe().unwrap();
        let fd = std::os::fd::OwnedFd::from(to).into_raw_fd();
        tell(fd.try_into().unwrap(), b"\n");
        let mut told = String::new();
        from.read_to_string(&mut told).unwrap();
        assert_eq!(told, "\n");
        tell(u32::MAX, b"nobody");
        tell(1_000_000, b"nobody");
    }

    #[test]
    fn every_descriptor_is_closed_on_exec_afterwards() {
        let file = File::open("/dev/null").unwrap();
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        close_on_exec().unwrap();
        let flags = FdFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
    }
}
