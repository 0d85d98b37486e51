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
//! | [`recovery`] | what processes that ended have left behind |
//! | [`archive`] | what all files know of a message |

pub mod archive;
pub mod record;
pub mod recovery;
pub mod segment;

pub use archive::Found;
pub use record::{Attempt, Digest, Taken};

use crate::history::Outcome;
use crate::machine_id::Process;
use crate::moment::{self, Micros};
use archive::Archive;
use record::{Record, parse};
use recovery::{Carried, Ended, Spot, Story};
use segment::{Place, Segment, scan};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
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
    older: BTreeMap<PathBuf, Older>,
    archive: Option<(Archive, Instant)>,
    /// What processes that ended have handled last.
    handled: Vec<Handled>,
    buffer: Vec<u8>,
    stopping: bool,
    /// That is written.
    announced: bool,
}

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

/// Files of processes that have ended, locked.
type Files = Vec<(PathBuf, File)>;

#[derive(Debug)]
struct Live {
    time: Micros,
    running: bool,
    place: Place,
}

#[derive(Debug)]
struct Older {
    size: u64,
    _lock: File,
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
            older: BTreeMap::new(),
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
        let (stories, files) = self.read_orphans()?;
        self.passed.extend(stories.iter().flat_map(|story| story.passed(moment::now())));
        let handled =
            stories.iter().flat_map(Story::handled).filter_map(|ended| handled(ended, &files)).collect();
        let carried = recovery::carried(stories, &self.owner.boot, moment::now());
        let replies: Vec<_> = carried.iter().map(|c| reply_of(c, &files)).collect::<io::Result<_>>()?;
        let mut segment = self.create()?;
        if let Err(e) = self.begin(&mut segment, carried.iter().zip(&replies)) {
            // What is in it stands elsewhere, or is tried again.
            let _ = fs::remove_file(segment.path());
            return Err(e);
        }
        self.unwritten.clear();
        self.segment = Some(segment);
        self.handled = handled;
        for (path, file) in files {
            self.set_aside(path, file);
        }
        self.prune(ARCHIVE);
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

    /// This process was told to stop: that it ends with work in hand is no crash.
    ///
    /// # Errors
    /// It could not be written.
    pub fn stopping(&mut self) -> io::Result<()> {
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
        for path in self.older.keys().map(PathBuf::as_path).chain([segment.path()]) {
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

    /// Goes on in a new file, with what is live.
    fn rotate(&mut self) -> io::Result<()> {
        let mut next = self.create()?;
        let moved = self.announce(&mut next).and_then(|()| self.copy_live(&mut next));
        let (Ok(places), Some(mut old)) = (moved, self.segment.take()) else {
            return fs::remove_file(next.path());
        };
        next.begins_here();
        let time = moment::now();
        self.live.retain(|_, live| live.running || live.time > time - recovery::FORGET_AFTER);
        for (digest, place) in places {
            if let Some(live) = self.live.get_mut(&digest) {
                live.place = place;
            }
        }
        // Without this the next process only reads it in vain.
        let _ = old.append(&Record::Moved { time }, &mut self.buffer);
        let path = old.path().to_path_buf();
        self.segment = Some(next);
        let size = fs::metadata(&path)?.len();
        let lock = old.into_file();
        self.older.insert(path, Older { size, _lock: lock });
        self.prune(ARCHIVE);
        Ok(())
    }

    fn copy_live(&mut self, next: &mut Segment) -> io::Result<Vec<(Digest, Place)>> {
        let Some(old) = &self.segment else { return Ok(vec![]) };
        let mut places = vec![];
        for (digest, live) in &self.live {
            let payload = old.read(live.place)?;
            let mut record = parse(&payload).ok_or(io::ErrorKind::InvalidData)?;
            if let Record::Taken(taken) = &mut record
                && live.place.length > COPIED
            {
                taken.body = b"";
            }
            places.push((*digest, next.append(&record, &mut self.buffer)?));
        }
        Ok(places)
    }

    /// Makes room on a full disk: the older files go. Whether there were any.
    fn drop_archive(&mut self) -> io::Result<bool> {
        let any = !self.older.is_empty();
        // It has them open.
        self.archive = None;
        self.prune(0);
        Ok(any)
    }

    /// Makes room on a full disk: a file in which nothing is live gives way to a new one. Whether it did.
    fn start_over(&mut self) -> io::Result<bool> {
        let Some(old) = self.segment.as_ref().filter(|old| self.live.is_empty() && old.grown() > 0) else {
            return Ok(false);
        };
        fs::remove_file(old.path())?;
        self.segment = None;
        // Where there is no room for a new file either, the next that is made says it.
        self.unwritten.clone_from(&self.passed);
        self.ready()?;
        Ok(true)
    }

    /// Reads the files of processes that have ended. What cannot be read is left alone.
    fn read_orphans(&self) -> io::Result<(Vec<Story>, Files)> {
        let mut paths: Vec<_> = fs::read_dir(&self.dir)?.flatten().map(|entry| entry.path()).collect();
        paths.sort_by_key(|path| order(path));
        let (mut stories, mut files) = (BTreeMap::<String, Story>::new(), Files::new());
        for path in paths {
            let Some(process) = process_of(&path) else { continue };
            let Some(file) = orphan(&path) else { continue };
            let story = stories.entry(process).or_default();
            scan(&file, 0, |place, record| story.read(files.len(), place, &record))?;
            files.push((path, file));
        }
        Ok((stories.into_values().collect(), files))
    }

    /// Keeps the file of a process that ended as a part of the archive, and marks it as taken over.
    fn set_aside(&mut self, path: PathBuf, file: File) {
        let marked = mark_moved(&path, &file);
        // Unmarked, it is read again by the next process, which finds nothing that it does not know.
        let size = marked.or_else(|_| file.metadata().map(|meta| meta.len())).unwrap_or(0);
        self.older.insert(path, Older { size, _lock: file });
    }

    /// Removes the oldest files of the archive until it has at most so many bytes.
    fn prune(&mut self, most: u64) {
        let mut total: u64 = self.older.values().map(|older| older.size).sum();
        while total > most {
            let Some((path, older)) = self.older.pop_first() else { return };
            total -= older.size;
            // One that cannot be removed is met again by the next process.
            let _ = fs::remove_file(path);
        }
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

fn reply_of(item: &Carried, files: &Files) -> io::Result<Option<Vec<u8>>> {
    item.reply.map(|spot| read(spot, files)).transpose()
}

fn read(spot: Spot, files: &Files) -> io::Result<Vec<u8>> {
    let (_, file) = files.get(spot.file).ok_or(io::ErrorKind::NotFound)?;
    segment::read_at(file, spot.place)
}

/// `None` where that cannot be read.
fn handled(item: &Ended, files: &Files) -> Option<Handled> {
    let (taken, reply) = (read(item.taken, files).ok()?, read(item.reply, files).ok()?);
    let (Record::Taken(taken), Record::Reply { body: reply, .. }) = (parse(&taken)?, parse(&reply)?) else {
        return None;
    };
    let Ended { started, ended, outcome, ref attempts, .. } = *item;
    let (body, reply) = (taken.body.to_vec(), reply.to_vec());
    Some(Handled { started, ended, outcome, attempts: attempts.clone(), body, reply })
}

/// Appends the mark after the last whole record; returns the size.
fn mark_moved(path: &Path, file: &File) -> io::Result<u64> {
    let mut moved = false;
    let end = scan(file, 0, |_, record| moved = matches!(record, Record::Moved { .. }))?;
    if moved {
        return Ok(end);
    }
    let mut bytes = vec![];
    Record::Moved { time: moment::now() }.write(&mut bytes);
    let file = File::options().write(true).open(path)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, end)?;
    file.set_len(end + bytes.len() as u64)?;
    Ok(end + bytes.len() as u64)
}

/// A file whose owner has ended, locked for us; `None` = its owner lives, or it cannot be opened.
fn orphan(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    // A child that a handler forked may still hold the lock of an owner that is gone.
    (file.try_lock().is_ok() || owner(&file).is_some_and(|owner| owner.is_gone())).then_some(file)
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
fn process_of(path: &Path) -> Option<String> {
    let (process, number) = path.file_name()?.to_str()?.rsplit_once('.')?;
    number.parse::<u32>().ok()?;
    Some(process.to_owned())
}

/// The order in which files are read: by process, then by number.
fn order(path: &Path) -> (Option<String>, u32) {
    let number = path.extension().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(0);
    (process_of(path), number)
}

#[cfg(test)]
mod tests;
