//! The journal of a participant: one append-only file per exo process, `journal/WHEN-PID.N`.
//!
//! *taken* is written before a handler starts, *reply* before the reply is published, *acked* after the
//! delivery is acknowledged, each with one write. After `kill -9` at any instant the next process knows which
//! workitems were in hand, and the replies that were already computed. A half-written record at the end of a
//! file is as if it had never been.
//!
//! A file that has grown beyond [`SEGMENT`] is followed by the next, into which goes what is live. Older files
//! stay as an archive of [`ARCHIVE`] bytes: a broker that is killed may deliver again what was acknowledged.
//! On a full disk all goes that is not live.
//!
//! | module | what |
//! |---|---|
//! | [`record`] | the bytes |
//! | [`segment`] | a file |
//! | [`orphans`] | the files of processes that have ended |
//! | [`recovery`] | what of theirs is to be gone on with |
//! | [`older`] | files that stay as the archive |
//! | [`archive`] | what all files know of a message |
//! | [`room`] | a file that gives way to the next |

pub mod archive;
pub mod older;
pub mod orphans;
pub mod record;
pub mod recovery;
pub mod room;
pub mod segment;

pub use archive::Found;
pub use orphans::Handled;
pub use record::{Attempt, Digest, Taken};

use crate::history::Outcome;
use crate::machine_id::Process;
use crate::moment::{self, Micros};
use archive::Archive;
use older::Older;
use orphans::Orphans;
use record::{Record, parse};
use recovery::Carried;
use segment::{Place, Segment};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that has grown by so much is followed by the next.
pub const SEGMENT: u64 = 4 << 20;
/// How many bytes of older files are kept.
pub const ARCHIVE: u64 = 16 << 20;
/// A message of more bytes is not copied from file to file.
const COPIED: u32 = 1 << 20;
/// There must be room for so much before it is said to be writable again.
const PROBE: usize = 64 << 10;
/// What was read of the archive is let go when nobody has asked for so long.
const ARCHIVE_UNUSED: Duration = Duration::from_secs(60);

/// The journal of this process. Opened by its first use; after an error the next use tries again.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    sync: bool,
    owner: Process,
    name: String,
    number: u32,
    segment: Option<Segment>,
    /// What is live, and where its newest record lies in the segment.
    live: HashMap<Digest, Live>,
    /// What was delivered and not begun, here or by processes that ended, as long as it is not acknowledged here.
    passed: HashSet<Digest>,
    /// No file says so of these any more: the next one is to.
    unwritten: HashSet<Digest>,
    /// Older files: ours, and those of processes that ended, each locked.
    older: Older,
    archive: Option<(Archive, Instant)>,
    /// What processes that ended have handled last.
    handled: Vec<Handled>,
    buffer: Vec<u8>,
    stopping: bool,
    /// That is written.
    announced: bool,
}

#[derive(Debug)]
struct Live {
    time: Micros,
    running: bool,
    place: Place,
}

impl Journal {
    /// The journal in a state folder. `sync` = it survives loss of power too.
    pub fn new(state: &Path, sync: bool) -> Self {
        let owner = Process::own();
        let name = format!("{}-{}", moment::stamp(moment::now()), owner.pid);
        Self {
            dir: state.join("journal"),
            sync,
            owner,
            name,
            number: 0,
            segment: None,
            live: HashMap::new(),
            passed: HashSet::new(),
            unwritten: HashSet::new(),
            older: Older::default(),
            archive: None,
            handled: vec![],
            buffer: vec![],
            stopping: false,
            announced: false,
        }
    }

    /// Makes sure that it can be written to: opens it, and takes over what processes that ended have left.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn ready(&mut self) -> io::Result<()> {
        if self.segment.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        let mut orphans = Orphans::read(&self.dir)?;
        self.passed.extend(orphans.stories.iter().flat_map(|story| story.passed(moment::now())));
        let handled = orphans.handled();
        let stories = std::mem::take(&mut orphans.stories);
        let carried = recovery::carried(stories, &self.owner.boot, moment::now());
        let replies: Vec<_> = carried.iter().map(|c| orphans.reply_of(c)).collect::<io::Result<_>>()?;
        let mut segment = self.create()?;
        if let Err(e) = self.begin(&mut segment, carried.iter().zip(&replies)) {
            // What is in it stands elsewhere, or is tried again.
            let _ = fs::remove_file(segment.path());
            return Err(e);
        }
        self.unwritten.clear();
        self.segment = Some(segment);
        self.handled = handled;
        for (path, file) in orphans.files {
            self.older.set_aside(path, file);
        }
        self.older.prune(ARCHIVE);
        Ok(())
    }

    /// Writes into a new file what is live or not begun.
    fn begin<'a>(
        &mut self,
        segment: &mut Segment,
        carried: impl Iterator<Item = (&'a Carried, &'a Option<Vec<u8>>)>,
    ) -> io::Result<()> {
        for (item, reply) in carried {
            let live = adopt(segment, item, reply.as_deref(), &mut self.buffer)?;
            self.live.insert(item.digest, live);
        }
        for digest in self.unwritten.iter().copied() {
            segment.append(&Record::Passed { time: moment::now(), digest }, &mut self.buffer)?;
        }
        self.announce(segment)?;
        segment.begins_here();
        Ok(())
    }

    /// What processes that ended have handled last, told once. Where they left nothing no file is made.
    ///
    /// # Errors
    /// Why their files cannot be taken over.
    pub fn take_handled(&mut self) -> io::Result<Vec<Handled>> {
        if fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some()) {
            self.ready()?;
        }
        Ok(std::mem::take(&mut self.handled))
    }

    /// A workitem is about to be handed to a handler.
    ///
    /// # Errors
    /// It could not be written: the handler must not start.
    pub fn taken(&mut self, taken: &Taken<'_>) -> io::Result<()> {
        let place = self.append(&Record::Taken(taken.clone()))?;
        self.live.insert(taken.digest, Live { time: taken.time, running: taken.running, place });
        Ok(())
    }

    /// A workitem was delivered and not begun: it waits for a worker, or goes back. Written where the broker counts
    /// deliveries, so that what came to nothing is not taken for the end of a process.
    ///
    /// # Errors
    /// It could not be written: if this process ends its delivery counts as an attempt.
    pub fn passed(&mut self, digest: Digest) -> io::Result<()> {
        self.append(&Record::Passed { time: moment::now(), digest })?;
        self.passed.insert(digest);
        Ok(())
    }

    /// A handler was done at a time, and its reply is about to be published; an empty one where none is wanted.
    ///
    /// # Errors
    /// It could not be written: after a crash the handler would run again.
    pub fn reply(&mut self, time: Micros, digest: Digest, outcome: Outcome, body: &[u8]) -> io::Result<()> {
        let place = self.append(&Record::Reply { time, digest, outcome, body })?;
        self.live.insert(digest, Live { time, running: false, place });
        Ok(())
    }

    /// The delivery was acknowledged.
    ///
    /// # Errors
    /// It could not be written: after a crash the reply would be taken for one that is not acknowledged.
    pub fn acked(&mut self, digest: Digest) -> io::Result<()> {
        self.live.remove(&digest);
        self.passed.remove(&digest);
        self.unwritten.remove(&digest);
        if self.archive.as_ref().is_some_and(|(_, used)| used.elapsed() > ARCHIVE_UNUSED) {
            self.archive = None;
        }
        self.append(&Record::Acked { time: moment::now(), digest }).map(drop)
    }

    /// This process stops: that it ends with work in hand is no crash. Written once.
    ///
    /// # Errors
    /// It could not be written.
    pub fn stopping(&mut self) -> io::Result<()> {
        if self.announced {
            return Ok(());
        }
        self.stopping = true;
        // Without a file there is nothing in hand.
        if self.segment.is_some() {
            self.append(&Record::Stopping { time: moment::now() })?;
        }
        self.announced = true;
        Ok(())
    }

    /// Each of our files says that we stop, as they do not all stay.
    fn announce(&mut self, segment: &mut Segment) -> io::Result<()> {
        if self.stopping {
            segment.append(&Record::Stopping { time: moment::now() }, &mut self.buffer)?;
        }
        Ok(())
    }

    /// Whether it can be written.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn probe(&mut self) -> io::Result<()> {
        self.append(&Record::Probe { time: moment::now(), room: &[0; PROBE] }).map(drop)
    }

    /// What is known of a message that is delivered again.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn find(&mut self, digest: &Digest) -> io::Result<Option<Found>> {
        self.ready()?;
        let (archive, used) = self.archive.get_or_insert_with(|| (Archive::default(), Instant::now()));
        *used = Instant::now();
        archive.refresh(&self.dir)?;
        archive.find(digest, &self.name, &self.owner.boot)
    }

    /// The process ends in order, all that it settled is settled with the broker: without anything live the files go.
    pub fn close(mut self) {
        if !self.live.is_empty() || !self.passed.is_empty() {
            if self.stopping && !self.announced {
                // There may be room again; otherwise this end counts as a crash.
                let _ = self.append(&Record::Stopping { time: moment::now() });
            }
            return;
        }
        let Some(segment) = self.segment.take() else { return };
        for path in self.older.paths().chain([segment.path()]) {
            // What stays is read by the next process, and goes then.
            let _ = fs::remove_file(path);
        }
    }

    fn append(&mut self, record: &Record<'_>) -> io::Result<Place> {
        self.ready()?;
        if self.segment.as_ref().is_some_and(|segment| segment.grown() > SEGMENT) {
            // Where a new file cannot be made the old one may still grow.
            let _ = self.rotate();
        }
        let mut done = self.write(record);
        for make_room in [Self::drop_archive, Self::start_over] {
            if !done.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::StorageFull) {
                break;
            }
            if make_room(self)? {
                done = self.write(record);
            }
        }
        done
    }

    fn write(&mut self, record: &Record<'_>) -> io::Result<Place> {
        match &mut self.segment {
            Some(segment) => segment.append(record, &mut self.buffer),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&mut self) -> io::Result<Segment> {
        let path = self.dir.join(format!("{}.{:06}", self.name, self.number));
        let segment = Segment::create(path, &self.owner, self.sync)?;
        self.number += 1;
        Ok(segment)
    }
}

/// Writes what a process left behind into our own file.
fn adopt(
    segment: &mut Segment,
    item: &Carried,
    reply: Option<&[u8]>,
    buffer: &mut Vec<u8>,
) -> io::Result<Live> {
    let Carried { digest, time, suspect, .. } = *item;
    let attempts = item.attempts.clone();
    let taken = Taken { time, digest, running: false, suspect, attempts, sid: &item.sid, body: b"" };
    let mut place = segment.append(&Record::Taken(taken), buffer)?;
    if let Some(record) = reply.and_then(parse) {
        place = segment.append(&record, buffer)?;
    }
    Ok(Live { time, running: false, place })
}

#[cfg(test)]
mod tests;
