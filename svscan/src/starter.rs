//! Starting supervises: a few at a time, so that ten thousand services come up without a fork storm.

use crate::limits::OpenFiles;
use crate::pair::descriptor;
use crate::plan::{Id, Moment, Part, Place};
use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::SigSet;
use servicedir::errand::{self, Errand};
use servicedir::{client, names};
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many supervises may be starting at once.
const WINDOW: usize = 64;
/// After so long a supervise that does not answer counts as started: it failed, or waits for a slow disk.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before looking again whether some have started: where others wait for that, and where not.
const NAPS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// What every supervise is started with.
pub struct Starter {
    environment: Vec<CString>,
    attributes: PosixSpawnAttr,
    scan_directory: File,
    files: OpenFiles,
    starting: VecDeque<(Place, PathBuf, Moment)>,
}

impl Starter {
    /// Gets ready to start supervises from the working directory.
    ///
    /// # Errors
    /// What opening the directory reports.
    pub fn new() -> io::Result<Self> {
        let mut attributes = PosixSpawnAttr::init()?;
        // Default dispositions and an empty mask: what svscan ignores is no business of the services'.
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes
            .set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let environment = std::env::vars_os().filter(|(name, _)| name != errand::VARIABLE);
        let entry = |(name, value): (_, _)| {
            CString::new([OsStringExt::into_vec(name), b"=".into(), OsStringExt::into_vec(value)].concat())
                .ok()
        };
        Ok(Self {
            environment: environment.filter_map(entry).collect(),
            attributes,
            scan_directory: File::open(".")?,
            files: OpenFiles::raise(),
            starting: VecDeque::new(),
        })
    }

    /// Those that have come up since it was asked last, or have ended: what no longer `runs`.
    pub fn come_up(&mut self, now: Moment, runs: impl Fn(Place) -> bool) -> Vec<Place> {
        let mut up = vec![];
        while let Some((place, dir, since)) = self.starting.front() {
            if runs(*place) && !client::is_running(dir).unwrap_or(true) && *since + PATIENCE > now {
                break;
            }
            up.push(*place);
            self.starting.pop_front();
        }
        up
    }

    /// How many more may be started now.
    pub fn room(&self) -> usize {
        WINDOW.saturating_sub(self.starting.len())
    }

    /// How long to wait before looking again; `None` where none is starting.
    pub fn nap(&self) -> Option<Duration> {
        let (short, long) = NAPS;
        (!self.starting.is_empty()).then_some(if self.room() == 0 { short } else { long })
    }

    /// Starts the supervise of a part of the service called `name`; `end` is the part's end of a pair's pipe.
    ///
    /// # Errors
    /// What looking for supervise, chdir or the start of the process reports; `NotFound` where the service is called
    /// otherwise by now. (The supervise of the service itself sees to that.)
    pub fn start(
        &mut self,
        now: Moment,
        place: Place,
        name: &OsStr,
        end: Option<OwnedFd>,
    ) -> io::Result<i32> {
        let pid = match place.1 {
            Part::Main => self.spawn(place, name, end.as_ref())?,
            Part::Log => {
                std::env::set_current_dir(name)?;
                let started = must_be(place.0, Path::new("."))
                    .and_then(|()| self.spawn(place, OsStr::new(names::LOG), end.as_ref()));
                // Cannot fail: an open directory can be entered by whoever could before.
                nix::unistd::fchdir(&self.scan_directory)?;
                started?
            }
        };
        self.starting.push_back((place, directory(name, place.1), now));
        Ok(pid)
    }

    fn spawn(&mut self, (service, part): Place, argument: &OsStr, end: Option<&OwnedFd>) -> io::Result<i32> {
        let mut actions = PosixSpawnFileActions::init()?;
        if let Some(end) = end {
            actions.add_dup2(end.as_raw_fd(), descriptor(part))?;
        }
        let errand = Errand { service, pipe: end.map(|_| descriptor(part)) };
        let errand = CString::new(format!("{}={}", errand::VARIABLE, errand.value()))?;
        let program = CString::new(names::SUPERVISE)?;
        let arguments = [program.clone(), CString::new(argument.as_bytes())?];
        self.environment.push(errand);
        let spawned = self
            .files
            .as_it_was(|| posix_spawnp(&program, &actions, &self.attributes, &arguments, &self.environment));
        self.environment.pop();
        match spawned {
            Ok(pid) => Ok(pid.as_raw()),
            Err(Errno::UnknownErrno) => Err(io::Error::last_os_error()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether this is the directory of a service still, whose name another one may have by now.
///
/// # Errors
/// `NotFound` where it is not; what looking at it reports.
pub fn must_be(service: Id, dir: &Path) -> io::Result<()> {
    match Id::of(&fs::metadata(dir)?) == service {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The service directory of a part.
pub fn directory(name: &OsStr, part: Part) -> PathBuf {
    match part {
        Part::Main => PathBuf::from(name),
        Part::Log => Path::new(name).join(names::LOG),
    }
}
