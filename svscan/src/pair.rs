//! The pipes from services to their loggers. svscan holds each one by both ends, as the two supervises do, so that
//! it outlives them all but one; a new svscan regains it from whoever lives.

use crate::plan::{Id, Part};
use crate::starter::must_be;
use nix::fcntl::OFlag;
use servicedir::{client, holder, names};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use unix::fds;
use unix::process::{Identity, Pidfd};

/// The pipes, by service.
#[derive(Default)]
pub struct Pairs(HashMap<Id, OwnedFd>);

/// A process that has one end of a pair's pipe.
pub struct Witness<'a> {
    /// Which end: the service writes to its standard output, the logger reads its standard input.
    pub part: Part,
    /// Its pid.
    pub pid: i32,
    /// What tells that the pid is still its own; `None` for a child of ours.
    pub pidfd: Option<&'a Pidfd>,
}

/// The standard descriptor of a part that leads to the pipe.
pub fn descriptor(part: Part) -> i32 {
    match part {
        Part::Main => 1,
        Part::Log => 0,
    }
}

impl Pairs {
    /// The end for a part of a service that is to be started: of the pipe that a living `witness`, a supervise of
    /// the other part, has; else of the one that is held; else of the one that anybody in these directories still
    /// has; else of a new one.
    ///
    /// # Errors
    /// What looking at the directory, opening the pipe or making one reports.
    pub fn end(&mut self, id: Id, part: Part, witness: Option<Witness>, dir: &Path) -> io::Result<OwnedFd> {
        if let Some(pipe) = witness.and_then(|witness| witness.pipe()) {
            self.0.insert(id, pipe);
        }
        let pipe = match self.0.entry(id) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(none) => none.insert(match from_processes(id, dir)? {
                Some(pipe) => pipe,
                None => fds::whole_pipe(fds::pipe()?.1)?,
            }),
        };
        let flags = match part {
            Part::Main => OFlag::O_WRONLY,
            Part::Log => OFlag::O_RDONLY,
        };
        fds::end_of_pipe(&*pipe, flags)
    }

    /// Holds the pipe that a witness has, if none is held yet.
    pub fn regain(&mut self, id: Id, witness: Witness) {
        if !self.0.contains_key(&id)
            && let Some(pipe) = witness.pipe()
        {
            self.0.insert(id, pipe);
        }
    }

    /// Lets go of a pipe.
    pub fn forget(&mut self, id: Id) {
        self.0.remove(&id);
    }

    /// Lets go of all, so that loggers end when their services have.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Witness<'_> {
    fn pipe(&self) -> Option<OwnedFd> {
        let process = fds::process(self.pid).ok()?;
        // If it lives now, the pid was its own when its folder was opened, and the pipe in there is its own. That is
        // kept even when the process ends in this instant: we may be the last one who has it.
        if self.pidfd.is_some_and(Pidfd::has_ended) {
            return None;
        }
        fds::whole_pipe_of(process, descriptor(self.part)).ok()
    }
}

/// The pipe that somebody of a pair still has: a supervise, the service or its logger, as far as their records are to
/// be believed.
///
/// # Errors
/// What opening the directory reports, and `NotFound` where it is called otherwise by now: it is not that there is nobody
/// then.
fn from_processes(id: Id, dir: &Path) -> io::Result<Option<OwnedFd>> {
    let open = fds::directory(dir)?;
    // Whatever it is called from now on.
    let dir = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    must_be(id, &dir)?;
    let parts = [(Part::Main, dir.clone()), (Part::Log, dir.join(names::LOG))];
    Ok(parts.into_iter().find_map(|(part, dir)| {
        holder::recorded(&dir).into_iter().chain(children(&dir)).find_map(|who| {
            let pidfd = Pidfd::of(&who).ok()?;
            Witness { part, pid: who.pid, pidfd: Some(&pidfd) }.pipe()
        })
    }))
}

/// The process that runs in a directory: by the status that was kept where there was no room for it, or by the one in its
/// place. One of them may be of an earlier process.
pub fn children(dir: &Path) -> impl Iterator<Item = Identity> {
    let in_place = holder::is_ours(dir, &[".", names::SUPERVISE, names::STATUS]);
    let in_place = in_place.then(|| client::status(dir).ok()).flatten();
    holder::kept(dir).into_iter().chain(in_place).filter_map(|status| status.more?.identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_pipe_is_made_for_a_directory_that_is_called_otherwise_by_now() {
        let scan = tempfile::tempdir().unwrap();
        let service = scan.path().join("service");
        let mut pairs = Pairs::default();
        fs::create_dir(&service).unwrap();
        let id = Id::of(&fs::metadata(&service).unwrap());
        fs::rename(&service, scan.path().join("other")).unwrap();
        let mut end = || pairs.end(id, Part::Main, None, &service);
        assert_eq!(end().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&service).unwrap();
        assert_eq!(end().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir(&service).unwrap();
        fs::rename(scan.path().join("other"), &service).unwrap();
        assert!(end().is_ok());
    }
}
