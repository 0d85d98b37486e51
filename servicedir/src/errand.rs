//! What svscan tells the supervise that it starts, in one variable of its environment.
//!
//! `SVSCAN=DEVICE:INODE [FD]`: which directory the service's is, and which standard descriptor of the supervise leads
//! to the pipe of a log pair (1 for the service, 0 for its logger). supervise keeps the variable from its child;
//! daemontools' supervise does not know it.
//!
//! Three things follow from it. supervise holds both ends of the pair's pipe, so that what is in the pipe outlives svscan
//! and no writer meets SIGPIPE. It does not take another directory that has the name by now for its own. And when svscan
//! is killed, the next one finds all supervises and their pipes, in /proc: those too that have not come so far as to
//! take their lock.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// The variable.
pub const VARIABLE: &str = "SVSCAN";

/// What a service is known by, whatever its name: device and inode of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl Id {
    /// That of the directory of which this is told.
    pub fn of(directory: &Metadata) -> Self {
        Self { device: directory.dev(), inode: directory.ino() }
    }
}

/// What the variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The service, for its logger, too.
    pub service: Id,
    /// The standard descriptor that leads to the pair's pipe.
    pub pipe: Option<i32>,
}

impl Errand {
    /// The variable's value.
    pub fn value(&self) -> String {
        let pipe = self.pipe.map(|fd| format!(" {fd}")).unwrap_or_default();
        format!("{}:{}{pipe}", self.service.device, self.service.inode)
    }

    /// Reads the variable's value; `None` for one that svscan did not write.
    pub fn parse(value: &OsStr) -> Option<Self> {
        let (service, pipe) = match value.to_str()?.split(' ').collect::<Vec<_>>()[..] {
            [service] => (service, None),
            [service, "0"] => (service, Some(0)),
            [service, "1"] => (service, Some(1)),
            _ => return None,
        };
        let (device, inode) = service.split_once(':')?;
        let service = Id { device: device.parse().ok()?, inode: inode.parse().ok()? };
        Some(Self { service, pipe })
    }

    /// What svscan told the supervise with this pid; `None` where it told it nothing.
    ///
    /// # Errors
    /// What reading /proc reports. `UnexpectedEof` where there is no environment, as in a process that is only just
    /// becoming supervise.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        let environment = fs::read(format!("/proc/{pid}/environ"))?;
        if environment.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let value = |entry| <[u8]>::strip_prefix(entry, VARIABLE.as_bytes())?.strip_prefix(b"=");
        let value = environment.split(|byte| *byte == 0).find_map(value);
        Ok(value.and_then(|value| Self::parse(OsStr::from_bytes(value))))
    }

    /// Whether it is for the logger of the service.
    pub fn is_for_logger(&self) -> bool {
        self.pipe == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_survives_a_round_trip_and_nothing_else_is_one() {
        for value in ["12:345", "12:345 0", "12:345 1"] {
            assert_eq!(Errand::parse(value.as_ref()).unwrap().value(), value);
        }
        for other in ["", "1", "12 345", "12:345 2", "a:b", "12:345 1 1", "/usr/bin/svscan"] {
            assert_eq!(Errand::parse(other.as_ref()), None, "{other:?}");
        }
    }

    #[test]
    fn the_errand_of_a_process_is_read_from_its_environment() {
        let mut child = std::process::Command::new("sleep").arg("60").env(VARIABLE, "1:2 0").spawn().unwrap();
        // spawn() returns while the kernel still lays the environment out.
        let errand = loop {
            match Errand::of(child.id() as i32) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => std::thread::yield_now(),
                read => break read.unwrap(),
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(errand, Some(Errand { service: Id { device: 1, inode: 2 }, pipe: Some(0) }));
        assert_eq!(Errand::of(std::process::id() as i32).unwrap(), None);
    }
}
