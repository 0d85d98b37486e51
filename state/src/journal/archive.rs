//! What all files of the journal's folder know of messages, also those that are answered and acknowledged:
//! read when a message is delivered again that this process does not know.
//!
//! A broker that was killed may have forgotten acknowledgements; another instance of the participant may have
//! had the message before.

use super::orphans::process_of;
use super::record::{Attempt, Digest, Record, parse};
use super::segment::{Place, read_at, scan};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What is known of a message that is delivered again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// It was in hand with others when a process ended: it is to run alone.
    pub suspect: bool,
    /// The reply that was computed, if there is one; empty where none is wanted.
    pub reply: Option<Vec<u8>>,
    /// How many of its deliveries came to nothing, by no fault of its own: processes gave it back when they were told to
    /// stop, or the machine was, or before they began.
    pub given_back: u32,
}

impl Found {
    /// How many processes it has ended for certain.
    pub fn crashes(&self) -> u32 {
        self.attempts.iter().filter(|attempt| attempt.alone).count() as u32
    }
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Archive {
    files: BTreeMap<PathBuf, Scanned>,
}

#[derive(Debug)]
struct Scanned {
    file: File,
    upto: u64,
    known: HashMap<Digest, Known>,
    /// Its process was told to stop.
    stopping: bool,
    /// The boot of the machine in which its process ran.
    boot: String,
}

#[derive(Debug, Default)]
struct Known {
    attempts: Vec<Attempt>,
    suspect: bool,
    running: bool,
    reply: Option<Place>,
    /// How often it was delivered and not begun.
    passed: u32,
    /// It may still be begun.
    waits: bool,
}

impl Archive {
    /// Reads what has been written since the last time.
    pub fn refresh(&mut self, dir: &Path) -> io::Result<()> {
        let mut here = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match self.files.remove(&path) {
                Some(scanned) => drop(here.insert(path, scanned)),
                // One that has just been removed is nobody's any more.
                None => {
                    if let Ok(file) = File::open(&path) {
                        here.insert(path, Scanned::new(file));
                    }
                }
            }
        }
        self.files = here;
        self.files.values_mut().try_for_each(Scanned::go_on)
    }

    /// What is known of a message: from the newest file that knows of it, attempts from all of them. `own` is the name
    /// of this process, which knows itself what it has given back; `boot` is this boot.
    pub fn find(&self, digest: &Digest, own: &str, boot: &str) -> io::Result<Option<Found>> {
        let mut found: Option<Found> = None;
        // What runs is copied from file to file: it was given back once by each process.
        let mut gave_back = BTreeSet::new();
        for (path, scanned) in &self.files {
            let Some(known) = scanned.known.get(digest) else { continue };
            let reply = known.reply.map(|place| scanned.reply(place)).transpose()?;
            let found = found.get_or_insert_with(Found::default);
            if let Some(process) = process_of(path).filter(|process| process != own) {
                found.given_back += known.passed;
                if known.running && (scanned.stopping || scanned.boot != boot) {
                    found.given_back += u32::from(gave_back.insert(process));
                }
            }
            found.attempts.extend(&known.attempts);
            found.suspect = known.suspect;
            found.reply = reply.flatten().or(found.reply.take());
        }
        if let Some(found) = &mut found {
            found.attempts.sort();
            found.attempts.dedup();
        }
        Ok(found)
    }
}

impl Scanned {
    fn new(file: File) -> Self {
        Self { file, upto: 0, known: HashMap::new(), stopping: false, boot: String::new() }
    }

    fn go_on(&mut self) -> io::Result<()> {
        let Self { known, stopping, boot, .. } = self;
        self.upto = scan(&self.file, self.upto, |place, record| match record {
            Record::Taken(taken) => {
                let item = known.entry(taken.digest).or_default();
                (item.attempts, item.suspect, item.running) = (taken.attempts, taken.suspect, taken.running);
                if taken.running {
                    item.reply = None;
                    item.passed -= u32::from(std::mem::take(&mut item.waits));
                }
            }
            Record::Reply { digest, .. } => {
                let item = known.entry(digest).or_default();
                (item.reply, item.running) = (Some(place), false);
            }
            Record::Passed { digest, .. } => {
                let item = known.entry(digest).or_default();
                (item.passed, item.waits) = (item.passed + 1, true);
            }
            Record::Header(owner) => *boot = owner.boot,
            Record::Stopping { .. } => *stopping = true,
            Record::Acked { .. } | Record::Moved { .. } | Record::Probe { .. } => {}
        })?;
        Ok(())
    }

    fn reply(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        let payload = read_at(&self.file, place)?;
        Ok(match parse(&payload) {
            Some(Record::Reply { body, .. }) => Some(body.to_vec()),
            _ => None,
        })
    }
}
