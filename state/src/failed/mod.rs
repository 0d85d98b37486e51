//! The failed store: a folder for each workitem that could not be handled, with all there is to know.
//!
//! ```text
//! failed/20261121-045301.123456-SID/workitem.json   the message as it came, byte for byte
//!                                   reason.txt      one line, then the traceback where there is one
//!                                   log.txt         the last lines of that workitem, where there are any
//!                                   about.json      who, when, which attempts, versions, environment: About
//!                                   retried         lines: when it was put back on its queue, by whom
//! ```
//!
//! Made under a dot name and renamed, so that a folder that can be seen is complete. Bounded in number and
//! size: the oldest goes.
//!
//! An entry is read, retried and dropped in `entry.rs`; what of the environment looks like a secret is hidden by
//! `secrets.rs`.

mod about;
mod entry;
mod secrets;

pub use about::{About, Kind};
pub use entry::{Entry, Retry};
pub use secrets::environment;

use crate::moment::{self, Micros};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// After so many new entries the folder is looked at again: other processes write and people remove.
const LOOK_AGAIN: usize = 64;

/// How the name of a folder begins that is being made.
const NEW: &str = ".new-";

/// The failed store of one participant.
#[derive(Debug)]
pub struct FailedStore {
    dir: PathBuf,
    max: usize,
    size: u64,
    /// The entries by name, which sorts by time, and what each weighs.
    known: BTreeMap<String, u64>,
    since_look: Option<usize>,
}

/// What is kept of a failure.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// Who, when, why.
    pub about: &'a About,
    /// Which workitem, as a name that is safe in a path.
    pub name: &'a str,
    /// The message as it came.
    pub body: &'a [u8],
    /// The traceback; may be empty.
    pub traceback: &'a str,
    /// The last lines that the participant wrote while it had the workitem in hand; may be empty.
    pub log: &'a str,
}

/// A failure that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub place: PathBuf,
    /// How many of the oldest had to go.
    pub removed: usize,
}

impl FailedStore {
    /// The store in this state folder; keeps at most `max` entries and about `size` bytes.
    pub fn new(state: &Path, max: usize, size: u64) -> Self {
        let dir = state.join("failed");
        Self { dir, max: max.max(1), size, known: BTreeMap::new(), since_look: None }
    }

    /// Keeps a failure, and removes the oldest entries that are too many.
    ///
    /// # Errors
    /// What writing reports; then nothing of this failure is kept.
    pub fn keep(&mut self, failure: &Failure<'_>) -> io::Result<Kept> {
        let name = format!("{}-{}", moment::stamp(failure.about.when), failure.name);
        let (new, place) = (self.dir.join(format!("{NEW}{name}")), self.dir.join(&name));
        fs::create_dir_all(&self.dir)?;
        let folder = File::open(&self.dir)?;
        // Who has it for itself throws away what is half, and is done with that in no time. Not every disk has locks.
        let _ = folder.lock_shared();
        if let Err(e) = write(&new, failure).and_then(|()| fs::rename(&new, &place)) {
            // What is there of it is of no use to anybody.
            let _ = fs::remove_dir_all(&new);
            return Err(e);
        }
        self.look(&folder)?;
        self.known.insert(name, weight(&place));
        Ok(Kept { place, removed: self.prune() })
    }

    /// Reads the folder, the first time and now and then.
    fn look(&mut self, folder: &File) -> io::Result<()> {
        let since = self.since_look.map_or(LOOK_AGAIN, |since| since + 1);
        self.since_look = Some(since % LOOK_AGAIN);
        if since < LOOK_AGAIN {
            return Ok(());
        }
        self.known.clear();
        // Nobody makes one now: what is half is of a process that was killed.
        let alone = folder.try_lock().is_ok();
        for file in fs::read_dir(&self.dir)? {
            let path = file?.path();
            if let Some(name) = entry::name(&path) {
                self.known.insert(name, weight(&path));
            } else if alone && entry::is_new(&path) {
                let _ = fs::remove_dir_all(path);
            }
        }
        Ok(())
    }

    fn prune(&mut self) -> usize {
        let mut total: u64 = self.known.values().sum();
        let mut removed = 0;
        // The newest stays, whatever its size.
        while self.known.len() > 1 && (self.known.len() > self.max || total > self.size) {
            let Some((name, weight)) = self.known.pop_first() else { break };
            // One that somebody else removed meanwhile is as good.
            let _ = fs::remove_dir_all(self.dir.join(name));
            total -= weight;
            removed += 1;
        }
        removed
    }

    /// All entries, oldest first. A store that is not there is empty.
    ///
    /// # Errors
    /// What reading the folder reports.
    pub fn list(state: &Path) -> io::Result<Vec<Entry>> {
        let files = match fs::read_dir(state.join("failed")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            files => files?,
        };
        let paths = files.map(|file| file.map(|file| file.path())).collect::<io::Result<Vec<_>>>()?;
        let mut entries: Vec<_> = paths.iter().filter_map(|path| Entry::read(path)).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The entries that people mean by a text: the name of one, else all with this sid or this wfid.
    ///
    /// # Errors
    /// What reading the folder reports.
    pub fn find(state: &Path, text: &str) -> io::Result<Vec<Entry>> {
        let mut all = Self::list(state)?;
        if text.is_empty() {
            return Ok(vec![]);
        }
        if all.iter().any(|entry| entry.name == text) {
            all.retain(|entry| entry.name == text);
        } else {
            all.retain(|entry| entry.about.sid == text || entry.about.wfid == text);
        }
        Ok(all)
    }
}

fn write(dir: &Path, failure: &Failure<'_>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join(entry::WORKITEM), failure.body)?;
    fs::write(dir.join(entry::REASON), format!("{}\n{}", failure.about.reason, failure.traceback))?;
    if !failure.log.is_empty() {
        fs::write(dir.join(entry::LOG), failure.log)?;
    }
    fs::write(dir.join(entry::ABOUT), serde_json::to_vec_pretty(failure.about)?)
}

fn weight(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

/// When an entry with this name was made.
fn when(name: &str) -> Option<Micros> {
    moment::parse_stamp(name.get(..22)?)
}

#[cfg(test)]
mod tests;
