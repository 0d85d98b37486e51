//! The limit on open files: svscan takes all it may have, and what it starts gets what svscan was started with.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use unix::words::Words;

/// The limit on open files as it was.
pub struct OpenFiles {
    soft: u64,
    hard: u64,
}

impl OpenFiles {
    /// Raises the soft limit to the hard one. Where that is not to be had all works, with fewer log pairs.
    pub fn raise() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
        let limits = Self { soft, hard };
        limits.set(hard);
        limits
    }

    /// Does something, the start of a program, under the limit as it was.
    pub fn as_it_was<T>(&self, something: impl FnOnce() -> T) -> T {
        self.set(self.soft);
        let done = something();
        self.set(self.hard);
        done
    }

    fn set(&self, soft: u64) {
        if self.soft != self.hard {
            // The soft limit may always be moved below the hard one.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, self.hard);
        }
    }
}

/// The error of making an inotify instance: EMFILE means that this user has too many of them, unless it is descriptors
/// that there are too many of.
pub fn of_inotify(errno: Errno) -> io::Error {
    if errno == Errno::EMFILE && std::fs::File::open("/dev/null").is_ok() {
        return io::Error::other(
            "too many watchers of this user (limit: sysctl fs.inotify.max_user_instances)",
        );
    }
    errno.into()
}

/// The error's word, and which limit was met where it tells of one.
pub fn word(e: &io::Error) -> String {
    let soft = |resource| getrlimit(resource).map_or(0, |(soft, _)| soft);
    let limit = match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => format!(" (limit: {} open files, ulimit -n)", soft(Resource::RLIMIT_NOFILE)),
        Some(Errno::ENFILE) => " (limit: sysctl fs.file-max)".into(),
        Some(Errno::EAGAIN) => match soft(Resource::RLIMIT_NPROC) {
            u64::MAX => " (limit: processes; see pids.max of the cgroup, sysctl kernel.pid_max)".into(),
            most => {
                format!(" (limit: {most} processes of this user, ulimit -u; or pids.max, kernel.pid_max)")
            }
        },
        _ => String::new(),
    };
    format!("{}{limit}", Words(e))
}
