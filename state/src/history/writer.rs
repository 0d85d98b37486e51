//! The thread that writes the history, in batches. What goes wrong there never holds up the work.

use super::row::Row;
use super::schema::{self, is_locked};
use crate::moment::{self, Micros};
use rusqlite::{Connection, ErrorCode, params};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rows are collected for so long before they are written.
const BATCH: Duration = Duration::from_millis(250);
/// At most so many are written at once.
const MANY: usize = 2000;
/// So many wait at the most while the file cannot be written; more are dropped, which is said.
const WAITING: usize = 20_000;
/// A file that is locked for so long is moved aside.
const LOCKED: Duration = Duration::from_secs(60);
/// How long to wait after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// How often old rows are removed.
const PRUNE: Duration = Duration::from_secs(3600);
/// So many old rows are removed at once.
const PRUNED: i64 = 5000;

/// Something to be said in the log.
pub type Say = Box<dyn Fn(String) + Send>;

/// Writes the history of a participant on a thread of its own.
#[derive(Debug)]
pub struct Writer {
    tray: Arc<Tray>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

/// Rows that wait. The thread is woken for the first of them, not for each.
#[derive(Debug, Default)]
struct Tray {
    rows: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<Row>,
    /// The thread waits for a row, and does not collect a batch.
    idle: bool,
    /// There will be no more.
    closed: bool,
}

impl Tray {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Begins. Rows older than `keep` are removed; `say` is told what goes wrong, in a line.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(state: &Path, keep: Duration, say: Say) -> io::Result<Self> {
        let tray: Arc<Tray> = Arc::default();
        let file = state.join(super::FILE);
        let keep = Micros::try_from(keep.as_micros()).unwrap_or(Micros::MAX);
        let desk = Desk::new(file, keep, say);
        let inbox = Arc::clone(&tray);
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || desk.work(&inbox))?;
        Ok(Self { tray, thread: Some(thread), dropped: 0 })
    }

    /// Takes a row. Never waits; one that finds no room is dropped and counted.
    pub fn write(&mut self, row: Row) {
        let mut waiting = self.tray.lock();
        if waiting.rows.len() >= WAITING {
            self.dropped += 1;
            return;
        }
        waiting.rows.push(row);
        if std::mem::take(&mut waiting.idle) || waiting.rows.len() == MANY {
            self.tray.bell.notify_one();
        }
    }

    /// How many rows found no room since the last time this was asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.tray.lock().closed = true;
        self.tray.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

struct Desk {
    file: PathBuf,
    keep: Micros,
    say: Say,
    db: Option<(Connection, Option<(u64, u64)>)>,
    /// Which file was tried last.
    tried: Option<(u64, u64)>,
    batch: Vec<Row>,
    /// Since when, and what was said about it.
    failing: Option<(Instant, String)>,
    again: Option<Instant>,
    pruned: Option<Instant>,
}

impl Desk {
    fn new(file: PathBuf, keep: Micros, say: Say) -> Self {
        Self {
            file,
            keep,
            say,
            db: None,
            tried: None,
            batch: vec![],
            failing: None,
            again: None,
            pruned: None,
        }
    }

    fn work(mut self, tray: &Tray) {
        while self.collect(tray) {
            if self.again.is_none_or(|at| at <= Instant::now()) {
                self.write();
            }
        }
        if !self.batch.is_empty() {
            self.write();
        }
        if !self.batch.is_empty() {
            self.say(format!("{} rows of the history are lost", self.batch.len()));
        }
    }

    /// Collects a batch. False = these were the last.
    fn collect(&mut self, tray: &Tray) -> bool {
        let mut waiting = tray.lock();
        if self.batch.is_empty() {
            let idle = |waiting: &mut Waiting| {
                waiting.idle = waiting.rows.is_empty() && !waiting.closed;
                waiting.idle
            };
            waiting = tray.bell.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        }
        let failing = self.failing.is_some();
        let more = |waiting: &mut Waiting| !waiting.closed && (failing || waiting.rows.len() < MANY);
        let waited = tray.bell.wait_timeout_while(waiting, BATCH, more);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let room = if waiting.closed { usize::MAX } else { MANY.saturating_sub(self.batch.len()) };
        let taken = room.min(waiting.rows.len());
        self.batch.extend(waiting.rows.drain(..taken));
        waiting.rows.shrink_to(MANY);
        !waiting.closed
    }

    fn write(&mut self) {
        let mut done = self.try_write();
        if let Err(e) = &done
            && self.failed(e)
        {
            done = self.try_write();
        }
        if done.is_ok() {
            self.again = None;
            if self.failing.take().is_some() {
                self.say("the history is written again".to_owned());
            }
        }
    }

    fn try_write(&mut self) -> rusqlite::Result<()> {
        self.tried = identity_of(&self.file);
        // Somebody may have moved the file away: what is written into it then nobody would see.
        if self.db.as_ref().is_some_and(|(_, identity)| *identity != self.tried) {
            self.db = None;
        }
        if self.db.is_none() {
            let db = schema::open(&self.file)?;
            self.db = Some((db, identity_of(&self.file)));
        }
        let Some((db, _)) = &mut self.db else { return Ok(()) };
        insert(db, self.batch.iter())?;
        // They are there, whatever becomes of the old ones.
        self.batch.clear();
        if self.pruned.is_none_or(|at| at.elapsed() > PRUNE)
            && prune(db, moment::now().saturating_sub(self.keep))? < PRUNED
        {
            self.pruned = Some(Instant::now());
        }
        Ok(())
    }

    /// True = the file was moved aside, by us or by another process, and it is to be tried again at once.
    fn failed(&mut self, e: &rusqlite::Error) -> bool {
        // What is no file at all SQLite cannot open, and it says no more than that.
        let damaged = is_damaged(e) || fs::metadata(&self.file).is_ok_and(|meta| !meta.is_file());
        let locked = is_locked(e);
        let since = match &mut self.failing {
            Some((since, said)) => {
                let since = *since;
                let reason = e.to_string();
                if *said != reason {
                    *said = reason;
                    self.say(format!("cannot write the history: {e}; work goes on"));
                }
                since
            }
            None => {
                self.failing = Some((Instant::now(), e.to_string()));
                self.say(format!("cannot write the history: {e}; work goes on"));
                Instant::now()
            }
        };
        self.again = Some(Instant::now() + AGAIN);
        self.db = None;
        (damaged || (locked && since.elapsed() > LOCKED))
            && (self.tried != identity_of(&self.file)
                || self.move_aside(if damaged { "damaged" } else { "locked" }))
    }

    fn move_aside(&mut self, why: &str) -> bool {
        let aside = format!("{}.{why}-{}", super::FILE, moment::stamp(moment::now()));
        match fs::rename(&self.file, self.file.with_file_name(&aside)) {
            Ok(()) => {
                for end in ["-wal", "-shm"] {
                    let part = |name: &str| self.file.with_file_name(format!("{name}{end}"));
                    // What is not there need not be moved; the new file must not meet the old one's.
                    let _ = fs::rename(part(super::FILE), part(&aside));
                }
                self.say(format!("the history is {why}: moved aside to {aside}, a new one is begun"));
                true
            }
            Err(e) => {
                self.say(format!("cannot move the history aside: {e}"));
                false
            }
        }
    }

    fn say(&self, what: String) {
        (self.say)(what);
    }
}

/// Writes at once the rows that a process before may have written, or not.
///
/// # Errors
/// Why they cannot be written.
pub fn fill(state: &Path, rows: &[Row]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut db = schema::open(&state.join(super::FILE))?;
    let mut missing = vec![];
    for row in rows {
        if is_missing(&db, row)? {
            missing.push(row);
        }
    }
    insert(&mut db, missing.into_iter())
}

fn is_missing(db: &Connection, row: &Row) -> rusqlite::Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM work WHERE wfid = ? AND started = ? AND sid = ? AND participant = ?)";
    let mut look = db.prepare_cached(sql)?;
    look.query_row(params![row.wfid, row.started, row.sid, row.participant], |row| row.get(0))
}

fn insert<'a>(db: &mut Connection, rows: impl Iterator<Item = &'a Row>) -> rusqlite::Result<()> {
    let batch = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut insert = batch.prepare_cached(
            "INSERT INTO work (participant, sid, wfid, workflow, started, ended, wait, outcome, attempt, error)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            insert.execute(params![
                row.participant,
                row.sid,
                row.wfid,
                row.workflow,
                row.started,
                row.ended,
                row.wait,
                row.outcome.number(),
                row.attempt,
                row.error
            ])?;
        }
    }
    batch.commit()
}

/// Removes rows that started before a time, some at once: others write too. Returns how many.
fn prune(db: &Connection, before: Micros) -> rusqlite::Result<i64> {
    let sql = "DELETE FROM work WHERE id IN (SELECT id FROM work WHERE started < ? LIMIT ?)";
    db.execute(sql, params![before, PRUNED]).map(|count| count as i64)
}

fn identity_of(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn is_damaged(e: &rusqlite::Error) -> bool {
    // A table that is not as it should be is as bad as one that cannot be read.
    let of_schema = |e: &rusqlite::ffi::Error, text: Option<&String>| {
        e.code == ErrorCode::Unknown
            && text.is_some_and(|text| text.starts_with("no such") || text.contains("has no column"))
    };
    match e {
        rusqlite::Error::SqliteFailure(e, text) => {
            matches!(e.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || of_schema(e, text.as_ref())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
