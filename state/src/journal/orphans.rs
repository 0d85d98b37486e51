//! The files of processes that have ended: found, locked and read, so that their work can be gone on with.

use super::record::{Attempt, Record, parse};
use super::recovery::{Carried, Ended, Spot, Story};
use super::segment::{self, scan};
use crate::history::Outcome;
use crate::machine_id::Process;
use crate::moment::Micros;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A workitem that a process handled before it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// When its handler was given it.
    pub started: Micros,
    /// When its handler was done.
    pub ended: Micros,
    /// How it ended.
    pub outcome: Outcome,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// The message as it came.
    pub body: Vec<u8>,
    /// The reply; empty where none was wanted.
    pub reply: Vec<u8>,
}

/// Files, each locked for us, and what they tell of their processes.
pub struct Orphans {
    /// In the order in which they were written.
    pub files: Vec<(PathBuf, File)>,
    /// One for each process.
    pub stories: Vec<Story>,
}

impl Orphans {
    /// Reads them. What cannot be opened is left alone.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut paths: Vec<_> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
        paths.sort_by_key(|path| order(path));
        let (mut stories, mut files) = (BTreeMap::<String, Story>::new(), vec![]);
        for path in paths {
            let Some(process) = process_of(&path) else { continue };
            let Some(file) = orphan(&path) else { continue };
            let story = stories.entry(process).or_default();
            scan(&file, 0, |place, record| story.read(files.len(), place, &record))?;
            files.push((path, file));
        }
        Ok(Self { files, stories: stories.into_values().collect() })
    }

    /// What their processes have handled last, as far as it can be read.
    pub fn handled(&self) -> Vec<Handled> {
        self.stories.iter().flat_map(Story::handled).filter_map(|ended| self.one_handled(ended)).collect()
    }

    fn one_handled(&self, item: &Ended) -> Option<Handled> {
        let (taken, reply) = (self.at(item.taken).ok()?, self.at(item.reply).ok()?);
        let (Record::Taken(taken), Record::Reply { body: reply, .. }) = (parse(&taken)?, parse(&reply)?)
        else {
            return None;
        };
        let Ended { started, ended, outcome, ref attempts, .. } = *item;
        let (body, reply) = (taken.body.to_vec(), reply.to_vec());
        Some(Handled { started, ended, outcome, attempts: attempts.clone(), body, reply })
    }

    /// The record of the reply that was computed, if there is one.
    pub fn reply_of(&self, item: &Carried) -> io::Result<Option<Vec<u8>>> {
        item.reply.map(|spot| self.at(spot)).transpose()
    }

    fn at(&self, spot: Spot) -> io::Result<Vec<u8>> {
        let (_, file) = self.files.get(spot.file).ok_or(io::ErrorKind::NotFound)?;
        segment::read_at(file, spot.place)
    }
}

/// A file whose owner has ended, locked for us; `None` = its owner lives, or it cannot be opened.
fn orphan(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    // A child that a handler forked may still hold the lock of an owner that is gone.
    if file.try_lock().is_err() && !owner(&file)?.is_gone() {
        return None;
    }
    let meta = file.metadata().ok().filter(|meta| meta.nlink() > 0)?;
    if meta.len() > 0 {
        return Some(file);
    }
    // Ours is the lock, as it names no owner. Whoever has just made it makes another (`Segment::create`).
    let _ = fs::remove_file(path);
    // By a word, as a child that is just being forked has the descriptor as well.
    let _ = file.unlock();
    None
}

fn owner(file: &File) -> Option<Process> {
    let mut owner = None;
    scan(file, 0, |_, record| {
        if let Record::Header(process) = record {
            owner.get_or_insert(process);
        }
    })
    .ok()?;
    owner
}

/// `WHEN-PID` of `WHEN-PID.N`.
pub fn process_of(path: &Path) -> Option<String> {
    let (process, number) = path.file_name()?.to_str()?.rsplit_once('.')?;
    number.parse::<u32>().ok()?;
    Some(process.to_owned())
}

/// The order in which files are read: by process, then by number.
fn order(path: &Path) -> (Option<String>, u32) {
    let number = path.extension().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(0);
    (process_of(path), number)
}
