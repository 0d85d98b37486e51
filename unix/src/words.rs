//! Error words as daemontools prints them; scripts and people know them, so they are part of its interface.

use std::{fmt, io};

/// Displays an error in daemontools' words, `file does not exist` for ENOENT and so on.
/// What daemontools had no word for is shown in the system's own.
pub struct Words<'a>(pub &'a io::Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error().and_then(known) {
            Some(word) => f.write_str(word),
            None => self.0.fmt(f),
        }
    }
}

/// The word of an error number, if daemontools has one. Allocates nothing: a forked child may call it.
pub fn known(errno: i32) -> Option<&'static str> {
    WORDS.iter().find(|(number, _)| *number == errno).map(|(_, word)| *word)
}

const WORDS: &[(i32, &str)] = &[
    (libc::ENOENT, "file does not exist"),
    (libc::EACCES, "access denied"),
    (libc::EPERM, "permission denied"),
    (libc::EAGAIN, "temporary failure"),
    (libc::ENOTDIR, "not a directory"),
    (libc::EISDIR, "is a directory"),
    (libc::ELOOP, "symbolic link loop"),
    (libc::ENAMETOOLONG, "file name too long"),
    (libc::ENOSPC, "out of disk space"),
    (libc::ENXIO, "device not configured"),
    (libc::ENOMEM, "out of memory"),
    (libc::EEXIST, "file already exists"),
    (libc::EMFILE, "process cannot open more files"),
    (libc::ENFILE, "system cannot open more files"),
    (libc::EROFS, "read-only file system"),
    (libc::EDQUOT, "disk quota exceeded"),
    (libc::ENOEXEC, "exec format error"),
    (libc::E2BIG, "argument list too long"),
    (libc::EIO, "input/output error"),
    (libc::EPIPE, "broken pipe"),
    (libc::EINTR, "interrupted system call"),
    (libc::ETXTBSY, "text busy"),
    (libc::ESRCH, "no such process"),
    (libc::EBADF, "file descriptor not open"),
    (libc::EBUSY, "device busy"),
    (libc::EXDEV, "cross-device link"),
    (libc::EINVAL, "invalid argument"),
    (libc::EFBIG, "file too big"),
    (libc::ESPIPE, "unseekable descriptor"),
    (libc::EMLINK, "too many links"),
    (libc::ETIMEDOUT, "timed out"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_have_the_words_of_daemontools() {
        for (number, word) in WORDS {
            assert_eq!(Words(&io::Error::from_raw_os_error(*number)).to_string(), *word);
        }
    }

    #[test]
    fn other_errors_keep_the_systems_words() {
        let e = io::Error::other("no such service");
        assert_eq!(Words(&e).to_string(), "no such service");
    }
}
