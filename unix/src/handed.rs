//! A child with a working directory and descriptors of the caller's choice: what `std::process::Command` cannot.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::fchdir;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Above all numbers that are given to a child, so that no descriptor is overwritten before it is copied.
const ABOVE: RawFd = 64;

/// Has `command` run in an open directory, with each descriptor under its number (3 to 63).
///
/// # Errors
/// What `fcntl` reports: too many open files.
pub fn hand(command: &mut Command, directory: OwnedFd, fds: Vec<(OwnedFd, RawFd)>) -> io::Result<()> {
    let mut out_of_the_way = Vec::with_capacity(fds.len());
    for (fd, number) in fds {
        let copy = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE))?;
        // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
        out_of_the_way.push((unsafe { OwnedFd::from_raw_fd(copy) }, number));
    }
    let before_exec = move || {
        fchdir(&directory)?;
        for (fd, number) in &out_of_the_way {
            // SAFETY: dup2 takes integers only. In the child, nothing is open that it could take from a Rust
            // object: numbers from 3 on belong to close-on-exec descriptors of a process that is about to go.
            Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), *number) })?;
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec; it allocates nothing, takes no lock and calls fchdir and
    // dup2 only, which are async-signal-safe (signal-safety(7)).
    unsafe { command.pre_exec(before_exec) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::Stdio;

    #[test]
    fn a_child_has_its_directory_and_its_descriptors() {
        let (mut from_child, to_parent) = io::pipe().unwrap();
        let (from_parent, mut to_child) = io::pipe().unwrap();
        to_child.write_all(b"hello\n").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "read word <&4; echo $word from $(pwd) >&5"]).stdin(Stdio::null());
        let root = File::open("/").unwrap().into();
        hand(&mut command, root, vec![(from_parent.into(), 4), (to_parent.into(), 5)]).unwrap();
        assert!(command.status().unwrap().success());
        drop(command); // holds the writing end
        let mut said = String::new();
        from_child.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello from /\n");
    }
}
