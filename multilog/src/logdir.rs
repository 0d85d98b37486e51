//! One log directory: does what its machine decides, on the real files.

use crate::dir::{Dir, OPEN};
use crate::processor::{self, End};
use crate::trouble::{Trouble, bytes, say};
use multilog::machine::{Action, Event, Rule, State, Step, WINDOW, Waiting};
use multilog::old;
use multilog::pieces::Pieces;
use multilog::recover::{Found, Left, Mend, plan};
use multilog::script::Limits;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{FileStat, fchmod, fstat};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;
use unix::tai64n::Tai64n;
use unix::words::Words;

/// The kernel is told to put this much on disk at once.
const WRITEBACK: u64 = 2 << 20;

/// An open log directory.
pub struct LogDir {
    state: State,
    rule: Rule,
    limits: Limits,
    files: Files,
}

/// What is held open of it.
struct Files {
    dir: Dir,
    current: File,
    /// Device and inode of `current`.
    identity: (u64, u64),
    /// How much was written to it, and how much of that the kernel was told to put on disk.
    written: u64,
    begun: u64,
    _lock: Flock<File>,
}

impl LogDir {
    /// Makes the directory if need be, locks it, and finishes what an earlier multilog left.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, Trouble> {
        let rule = Rule { size: limits.size, window: WINDOW, processed: limits.processor.is_some() };
        let (files, size) = Files::open(path, &limits)?;
        Ok(Self { state: State::open(size), rule, limits, files })
    }

    /// ALRM: rotate when the line is whole, if there is anything. Done by [`drive`](Self::drive).
    pub fn alarm(&mut self) {
        self.look();
        self.step(Event::Alarm);
    }

    /// Mark `current` as finished. Done by [`drive`](Self::drive).
    pub fn end(&mut self) {
        self.step(Event::End);
    }

    /// Writes these pieces of a text, and does whatever else is due. A time: there was trouble, which was said;
    /// to be called again then, or before.
    pub fn drive(
        &mut self,
        pieces: &mut Pieces,
        text: &[u8],
        now: impl Fn() -> Duration,
    ) -> Option<Duration> {
        let mut action = self.step(Event::Clock(now()));
        let mut looked = false;
        loop {
            action = match action {
                Action::Ready if pieces.is_empty() || self.state == State::Closed => return None,
                Action::Ready if !looked => {
                    looked = true;
                    self.look()
                }
                Action::Ready => {
                    let line_end = |limit| pieces.up_to_line_end(text, limit);
                    self.step(Event::Lines(Waiting { len: pieces.len(), line_end: &line_end }))
                }
                Action::Write(n) => match self.write(pieces, text, n) {
                    Ok((n, at_line_end)) => self.step(Event::Wrote(n, at_line_end)),
                    Err(trouble) => self.pause(&trouble, Event::Failed(now())),
                },
                Action::Do(step) => self.do_step(step, &now),
                Action::SayFailed(until) => {
                    self.failed().say_pausing();
                    return Some(until);
                }
                Action::Wait(until) => return Some(until),
            }
        }
    }

    fn step(&mut self, event: Event<'_>) -> Action {
        let (state, action) = self.state.step(&self.rule, event);
        self.state = state;
        action
    }

    /// After trouble; it is said where it means a pause.
    fn pause(&mut self, trouble: &Trouble, event: Event<'_>) -> Action {
        let action = self.step(event);
        if matches!(action, Action::Wait(_)) {
            trouble.say_pausing();
        }
        action
    }

    /// Before each write: somebody may have renamed, removed or truncated `current`.
    fn look(&mut self) -> Action {
        match self.files.dir.find("current") {
            Ok(Some(stat)) if identity(&stat) == self.files.identity => {
                self.step(Event::Ours(u64::try_from(stat.st_size).unwrap_or(0)))
            }
            Ok(_) => self.step(Event::Taken),
            // What cannot be looked at may well be written.
            Err(_) => Action::Ready,
        }
    }

    /// Writes the next `n` bytes, or as many as go at once: how many, and whether a newline is the last of them.
    fn write(&mut self, pieces: &mut Pieces, text: &[u8], n: usize) -> Result<(usize, bool), Trouble> {
        match write_pieces(&self.files.current, pieces, text, n) {
            Ok(0) => Err(self.trouble("unable to write to ", "current", ErrorKind::WriteZero.into())),
            Ok(n) => {
                self.files.begin_writeback(n as u64);
                Ok((n, pieces.written(text, n)))
            }
            Err(e) => Err(self.trouble("unable to write to ", "current", e)),
        }
    }

    fn do_step(&mut self, step: Step, now: impl Fn() -> Duration) -> Action {
        match self.perform(step) {
            Ok(Outcome::Done) => self.step(Event::Done),
            Ok(Outcome::Opened(size)) => self.step(Event::Opened(size)),
            Ok(Outcome::Crashed(how)) => {
                let dir = bytes(&self.files.dir.path).to_vec();
                let crashed = Trouble::new(&[b"processor crashed in ", &dir], Some(io::Error::other(how)));
                self.pause(&crashed, Event::Crashed(now()))
            }
            Err(trouble) if trouble.is_absence() => self.pause(&trouble, Event::Gone(now())),
            Err(trouble) => self.pause(&trouble, Event::Failed(now())),
        }
    }

    fn perform(&mut self, step: Step) -> Result<Outcome, Trouble> {
        let dir = &self.files.dir;
        match step {
            Step::Sync | Step::Leave | Step::SyncLast => self.sync(&self.files.current, "current")?,
            Step::Rename => {
                // One may lie there since before a finished `current` was found.
                if dir.find("previous").is_ok_and(|previous| previous.is_some()) {
                    keep(dir, "previous", b"u")?;
                }
                dir.rename("current", "previous").map_err(|e| {
                    let what = b"unable to rename current to previous in directory ";
                    Trouble::new(&[what, bytes(&dir.path)], Some(e))
                })?;
            }
            Step::Create | Step::Begin => self.files.new_current()?,
            Step::Mark => dir.mark("previous").map_err(|e| self.unmarked("previous", e))?,
            Step::MarkLast => fchmod(&self.files.current, crate::dir::FINISHED)
                .map_err(|e| self.unmarked("current", e.into()))?,
            Step::Process => return self.process(),
            Step::SyncProcessed => {
                let file = dir.append("processed").map_err(|e| self.uncreated("processed", e))?;
                self.sync(&file, "processed")?;
                fchmod(&file, crate::dir::FINISHED).map_err(|e| self.unmarked("processed", e.into()))?;
            }
            Step::SyncState => {
                let file = dir.append("newstate").map_err(|e| self.uncreated("newstate", e))?;
                self.sync(&file, "newstate")?;
            }
            Step::RemovePrevious => {
                dir.remove(b"previous").map_err(|e| self.trouble("unable to remove ", "previous", e))?;
            }
            Step::TakeState => dir.rename("newstate", "state").map_err(|e| {
                let what = b"unable to rename newstate to state in directory ";
                Trouble::new(&[what, bytes(&dir.path)], Some(e))
            })?,
            Step::Keep => keep(dir, "previous", &self.limits.suffix)?,
            Step::KeepProcessed => keep(dir, "processed", &self.limits.suffix)?,
            Step::Prune => prune(dir, self.limits.number)?,
            // Not the directory was gone, but what a link leads to.
            Step::Reopen if dir.is_at_its_path() => self.files.new_current()?,
            Step::Reopen => {
                let (files, size) = Files::open(&dir.path, &self.limits)?;
                self.files = files;
                return Ok(Outcome::Opened(size));
            }
        }
        Ok(Outcome::Done)
    }

    fn process(&self) -> Result<Outcome, Trouble> {
        let Some(command) = &self.limits.processor else { return Ok(Outcome::Done) };
        let dir = &self.files.dir;
        let inputs =
            processor::Files::open(dir).map_err(|(name, e)| self.trouble("unable to open ", name, e))?;
        let end = processor::run(dir, inputs, command)
            .map_err(|e| Trouble::new(&[b"unable to fork for processor in ", bytes(&dir.path)], Some(e)))?;
        match end {
            End::Good => Ok(Outcome::Done),
            End::Bad => Err(self.failed()),
            End::Crashed(how) => Ok(Outcome::Crashed(how)),
        }
    }

    fn failed(&self) -> Trouble {
        Trouble::new(&[b"processor failed in ", bytes(&self.files.dir.path)], None)
    }

    fn sync(&self, file: &File, name: &str) -> Result<(), Trouble> {
        file.sync_all().map_err(|e| {
            let path = self.files.dir.path.join(name);
            Trouble::new(&[b"unable to write ", bytes(&path), b" to disk"], Some(e))
        })
    }

    fn trouble(&self, what: &str, name: &str, e: io::Error) -> Trouble {
        Trouble::with_path(what, &self.files.dir.path.join(name), e)
    }

    fn unmarked(&self, name: &str, e: io::Error) -> Trouble {
        self.trouble("unable to set mode of ", name, e)
    }

    fn uncreated(&self, name: &str, e: io::Error) -> Trouble {
        self.trouble("unable to create ", name, e)
    }
}

/// What came of a step.
enum Outcome {
    Done,
    Opened(u64),
    Crashed(String),
}

impl Files {
    /// Opens the directory, and `current` in it after mending what was left; and the size of `current`.
    fn open(path: &Path, limits: &Limits) -> Result<(Self, u64), Trouble> {
        let opened = Dir::open(path).map_err(|e| Trouble::with_path("unable to open directory ", path, e))?;
        let dir = &opened;
        let trouble = |what: &str, name: &str, e| Trouble::with_path(what, &path.join(name), e);
        let unlocked = |e| Trouble::with_path("unable to lock directory ", path, e);
        let lock = dir.append("lock").map_err(unlocked)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| unlocked(e.into()))?;
        let find = |name: &str| match dir.find(name) {
            Ok(stat) => Ok(stat.map(|stat| left(&stat))),
            Err(e) => Err(trouble("unable to stat ", name, e)),
        };
        let found =
            Found { current: find("current")?, previous: find("previous")?, processed: find("processed")? };
        for mend in plan(&found) {
            mend_one(dir, mend, limits)?;
        }
        let verb = if found.current.is_some_and(|current| current.finished) {
            "unable to append to "
        } else {
            "unable to write to "
        };
        let current = dir.append("current").map_err(|e| trouble(verb, "current", e))?;
        fchmod(&current, OPEN).map_err(|e| trouble("unable to set mode of ", "current", e.into()))?;
        let stat = fstat(&current).map_err(|e| trouble("unable to stat ", "current", e.into()))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok((
            Self { dir: opened, current, identity: identity(&stat), written: size, begun: size, _lock: lock },
            size,
        ))
    }

    fn new_current(&mut self) -> Result<(), Trouble> {
        let path = self.dir.path.join("current");
        let file =
            self.dir.append("current").map_err(|e| Trouble::with_path("unable to create ", &path, e))?;
        let unmarked = |e: nix::Error| Trouble::with_path("unable to set mode of ", &path, e.into());
        fchmod(&file, OPEN).map_err(unmarked)?;
        self.identity = identity(&fstat(&file).map_err(unmarked)?);
        self.current = file;
        (self.written, self.begun) = (0, 0);
        Ok(())
    }

    /// While lines come, the disk need not be idle until the rotation, which waits for it.
    fn begin_writeback(&mut self, n: u64) {
        self.written += n;
        if self.written - self.begun >= WRITEBACK {
            unix::writeback::begin(&self.current, self.begun, self.written - self.begun);
            self.begun = self.written;
        }
    }
}

/// One system call, unless a signal interrupts it.
fn write_pieces(mut file: &File, pieces: &Pieces, text: &[u8], n: usize) -> io::Result<usize> {
    loop {
        let mut slices = pieces.slices(text, n);
        let first = slices.next();
        let written = match (first, slices.next()) {
            (Some(only), None) => file.write(&only),
            (first, second) => {
                file.write_vectored(&first.into_iter().chain(second).chain(slices).collect::<Vec<_>>())
            }
        };
        match written {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn left(stat: &FileStat) -> Left {
    Left { finished: stat.st_mode & 0o100 != 0, linked: stat.st_nlink > 1 }
}

fn mend_one(dir: &Dir, mend: Mend, limits: &Limits) -> Result<(), Trouble> {
    match mend {
        Mend::KeepSafe(name) => keep(dir, name, &limits.suffix),
        Mend::KeepUnfinished(name) => keep(dir, name, b"u"),
        Mend::Prune => prune(dir, limits.number),
        Mend::Empty(name) => dir
            .empty(name)
            .map(drop)
            .map_err(|e| Trouble::with_path("unable to write to ", &dir.path.join(name), e)),
        // One that stays for the moment is found by the next step, or by the next start.
        Mend::Remove(name) => {
            let _ = dir.remove(name.as_bytes());
            Ok(())
        }
    }
}

/// Gives a file the name of an old log of this moment, never the name of another, instead of its own.
fn keep(dir: &Dir, name: &str, suffix: &[u8]) -> Result<(), Trouble> {
    let path = dir.path.join(name);
    let linked = dir.stat(name).map_err(|e| Trouble::with_path("unable to stat ", &path, e))?.st_nlink > 1;
    if !linked {
        link_as_old(dir, name, suffix)?;
    }
    dir.remove(name.as_bytes()).map_err(|e| Trouble::with_path("unable to remove ", &path, e))
}

fn link_as_old(dir: &Dir, name: &str, suffix: &[u8]) -> Result<(), Trouble> {
    loop {
        let label = Tai64n::now().label();
        let old = [label.as_slice(), b".", suffix].concat();
        match dir.link(name, &old) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            linked => {
                let parts = [b"unable to link to ", bytes(&dir.path), b"/", old.as_slice()];
                return linked.map_err(|e| Trouble::new(&parts, Some(e)));
            }
        }
    }
}

/// Removes the oldest logs beyond the number. One that cannot be removed is no reason to stop.
fn prune(dir: &Dir, number: usize) -> Result<(), Trouble> {
    let names = dir.names().map_err(|e| Trouble::with_path("unable to read ", &dir.path, e))?;
    for name in old::too_many(names, number, Tai64n::now()) {
        if let Err(e) = dir.remove(bytes(&name)) {
            let (path, words) = (dir.path.join(&name), format!(": {}", Words(&e)));
            say(&[b"multilog: warning: unable to remove ", bytes(&path), words.as_bytes()].concat());
        }
    }
    Ok(())
}
