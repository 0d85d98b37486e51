//! What svscan tells the supervise that it starts, in one variable of its environment.
//!
//! `SVSCAN=PID START [FD]`: svscan's pid and start time, and which standard descriptor of the supervise leads to
//! the pipe of a log pair (1 for the service, 0 for its logger). supervise keeps the variable from its child;
//! daemontools' supervise does not know it.
//!
//! Two things follow from it. A supervise whose svscan died before the lock was taken exits: the next svscan
//! cannot know of it and starts another. And it holds both ends of the pair's pipe, so that what is in the pipe
//! outlives svscan and no writer meets SIGPIPE.

use std::ffi::OsStr;
use unix::process::{self, Identity};

/// The variable.
pub const VARIABLE: &str = "SVSCAN";

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand {
    svscan: i32,
    start_time: u64,
    /// The standard descriptor that leads to the pair's pipe.
    pub pipe: Option<i32>,
}

impl Errand {
    /// The errand of a supervise that this svscan starts.
    pub fn from(svscan: &Identity, pipe: Option<i32>) -> Self {
        Self { svscan: svscan.pid, start_time: svscan.start_time, pipe }
    }

    /// The variable's value.
    pub fn value(&self) -> String {
        let pipe = self.pipe.map(|fd| format!(" {fd}")).unwrap_or_default();
        format!("{} {}{pipe}", self.svscan, self.start_time)
    }

    /// Reads the variable's value; `None` for one that svscan did not write.
    pub fn parse(value: &OsStr) -> Option<Self> {
        let words: Vec<&str> = value.to_str()?.split(' ').collect();
        let (svscan, start_time, pipe) = match words[..] {
            [svscan, start] => (svscan, start, None),
            [svscan, start, "0"] => (svscan, start, Some(0)),
            [svscan, start, "1"] => (svscan, start, Some(1)),
            _ => return None,
        };
        Some(Self { svscan: svscan.parse().ok()?, start_time: start_time.parse().ok()?, pipe })
    }

    /// Whether the svscan that gave it still lives.
    pub fn svscan_lives(&self) -> bool {
        // A parent's pid is not given to anybody else; a script in between makes svscan a grandparent.
        process::parent() == self.svscan
            || process::start_time(self.svscan).is_ok_and(|start| start == self.start_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_survives_a_round_trip_and_nothing_else_is_one() {
        for value in ["12 345", "12 345 0", "12 345 1"] {
            assert_eq!(Errand::parse(value.as_ref()).unwrap().value(), value);
        }
        for other in ["", "1", "12 345 2", "a b", "12 345 1 1", "/usr/bin/svscan"] {
            assert_eq!(Errand::parse(other.as_ref()), None, "{other:?}");
        }
    }

    #[test]
    fn whether_svscan_lives_is_told_by_pid_and_start_time() {
        let own = Identity::own().unwrap();
        assert!(Errand::from(&own, None).svscan_lives());
        assert!(!Errand { start_time: own.start_time + 1, ..Errand::from(&own, None) }.svscan_lives());
    }
}
