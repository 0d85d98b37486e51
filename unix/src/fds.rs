//! Descriptors: pipes that no child inherits, FIFOs, inherited descriptors.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, FdFlag, OFlag, fcntl, open, openat, readlinkat};
use nix::sys::stat::Mode;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A pipe (read end, write end); both are closed on exec.
///
/// # Errors
/// What `pipe2` reports.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Another descriptor of the pipe that `fd` is an end of, for both directions at once: as long as it is open,
/// what is in the pipe stays, a writer meets no SIGPIPE and a reader no end of file.
///
/// # Errors
/// What opening it through /proc reports; EINVAL where it is no pipe.
pub fn whole_pipe(fd: impl AsFd) -> io::Result<OwnedFd> {
    whole_pipe_of(process("self")?, fd.as_fd().as_raw_fd())
}

/// The folder of a process in /proc. It stays that of this process, also when the pid is given to another.
///
/// # Errors
/// ENOENT where there is no process of this pid; what opening it reports.
pub fn process(pid: impl Display) -> io::Result<OwnedFd> {
    directory(Path::new(&format!("/proc/{pid}")))
}

/// A directory, which this stays whatever it is called later.
///
/// # Errors
/// What opening it reports.
pub fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// As [`whole_pipe`], for a descriptor of another [`process`].
///
/// # Errors
/// What opening it through /proc reports, also when the process has ended; EINVAL where it is no pipe.
pub fn whole_pipe_of(process: impl AsFd, fd: RawFd) -> io::Result<OwnedFd> {
    let path = format!("fd/{fd}");
    // Looked at first: opening what is no pipe (a terminal, a tape) can have effects.
    if !readlinkat(process.as_fd(), path.as_str())?.as_bytes().starts_with(b"pipe:[") {
        return Err(Errno::EINVAL.into());
    }
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(openat(process.as_fd(), path.as_str(), flags, Mode::empty())?)
}

/// One end of a [`whole_pipe`], as its reader or writer wants it: blocking.
///
/// # Errors
/// What opening it through /proc reports.
pub fn end_of_pipe(whole: impl AsFd, flags: OFlag) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", whole.as_fd().as_raw_fd());
    Ok(open(path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a file non-blocking and closed on exec: FIFOs are opened this way, from either side.
///
/// # Errors
/// What `open` reports; ENXIO where a FIFO that is opened for writing has no reader.
pub fn open_nonblocking(path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    // musl's open sets close-on-exec once more, by a call of its own.
    Ok(openat(AT_FDCWD, path, flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The same open file as `fd`, in a descriptor of at least this number and closed on exec, so that low numbers are free
/// for others. Where there is none (see RLIMIT_NOFILE) it stays where it is, closed on exec.
pub fn move_up(fd: OwnedFd, at_least: RawFd) -> OwnedFd {
    match fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(at_least)) {
        // SAFETY: the descriptor was just made and nobody else knows of it.
        Ok(moved) => unsafe { OwnedFd::from_raw_fd(moved) },
        Err(_) => {
            let _ = set_cloexec(&fd);
            fd
        }
    }
}

/// Makes reading or writing wait again.
///
/// # Errors
/// What `fcntl` reports.
pub fn set_blocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Sets close-on-exec on a descriptor that was inherited.
///
/// # Errors
/// What `fcntl` reports.
pub fn set_cloexec(fd: impl AsFd) -> io::Result<()> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_pipe_is_had_from_a_process_while_it_lives_and_stays_when_it_ends() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").stdin(reader).spawn().unwrap();
        let folder = process(child.id()).unwrap();
        let whole = whole_pipe_of(&folder, 0).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(whole_pipe_of(&folder, 0).is_err());
        writer.write_all(b"kept").unwrap();
        let mut buffer = [0; 4];
        std::fs::File::from(whole).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"kept");
    }

    #[test]
    fn what_is_in_a_pipe_stays_while_the_whole_pipe_is_open() {
        let (read, write) = pipe().unwrap();
        let whole = whole_pipe(&write).unwrap();
        std::fs::File::from(write).write_all(b"line").unwrap();
        drop(read);
        let mut again = [0; 9];
        assert_eq!(std::fs::File::from(whole).read(&mut again).unwrap(), 4);
    }

    #[test]
    fn what_is_no_pipe_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(whole_pipe(&file).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32));
    }
}
