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
    (libc::ECHILD, "no child processes"),
    (libc::EFAULT, "bad address"),
    (libc::ENOTBLK, "not a block device"),
    (libc::ENODEV, "device does not support operation"),
    (libc::ENOTTY, "not a tty"),
    (libc::EDOM, "input out of range"),
    (libc::ERANGE, "output out of range"),
    (libc::EDEADLK, "operation would cause deadlock"),
    (libc::ENOLCK, "no locks available"),
    (libc::ENOSYS, "system call not available"),
    (libc::ENOTEMPTY, "directory not empty"),
    (libc::ENOMSG, "no message of desired type"),
    (libc::EIDRM, "identifier removed"),
    (libc::ENOSTR, "not a stream device"),
    (libc::ETIME, "timer expired"),
    (libc::ENOSR, "out of stream resources"),
    (libc::ENONET, "machine not on network"),
    (libc::EREMOTE, "too many levels of remote in path"),
    (libc::ENOLINK, "link severed"),
    (libc::EADV, "advertise error"),
    (libc::ESRMNT, "srmount error"),
    (libc::ECOMM, "communication error"),
    (libc::EPROTO, "protocol error"),
    (libc::EMULTIHOP, "multihop attempted"),
    (libc::EBADMSG, "bad message type"),
    (libc::EREMCHG, "remote address changed"),
    (libc::EUSERS, "too many users"),
    (libc::ENOTSOCK, "not a socket"),
    (libc::EDESTADDRREQ, "destination address required"),
    (libc::EMSGSIZE, "message too long"),
    (libc::EPROTOTYPE, "incorrect protocol type"),
    (libc::ENOPROTOOPT, "protocol not available"),
    (libc::EPROTONOSUPPORT, "protocol not supported"),
    (libc::ESOCKTNOSUPPORT, "socket type not supported"),
    (libc::EOPNOTSUPP, "operation not supported"),
    (libc::EPFNOSUPPORT, "protocol family not supported"),
    (libc::EAFNOSUPPORT, "address family not supported"),
    (libc::EADDRINUSE, "address already used"),
    (libc::EADDRNOTAVAIL, "address not available"),
    (libc::ENETDOWN, "network down"),
    (libc::ENETUNREACH, "network unreachable"),
    (libc::ENETRESET, "network reset"),
    (libc::ECONNABORTED, "connection aborted"),
    (libc::ECONNRESET, "connection reset"),
    (libc::ENOBUFS, "out of buffer space"),
    (libc::EISCONN, "already connected"),
    (libc::ENOTCONN, "not connected"),
    (libc::ESHUTDOWN, "socket shut down"),
    (libc::ETOOMANYREFS, "too many references"),
    (libc::ECONNREFUSED, "connection refused"),
    (libc::EHOSTDOWN, "host down"),
    (libc::EHOSTUNREACH, "host unreachable"),
    (libc::EALREADY, "operation already in progress"),
    (libc::EINPROGRESS, "operation in progress"),
    (libc::ESTALE, "stale NFS file handle"),
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

    /// The table of docs/reference/error-words.md. When this fails, put there what it shows.
    #[test]
    fn the_reference_has_the_same_words() {
        let name = |number: i32| format!("{:?}", nix::errno::Errno::from_raw(number));
        let rows: String =
            WORDS.iter().map(|(n, word)| format!("| {} | {n} | {word} |\n", name(*n))).collect();
        let table = format!("| error | number | words |\n|---|---|---|\n{rows}");
        assert!(include_str!("../../docs/reference/error-words.md").ends_with(&table), "{table}");
    }
}
