//! The tables of `history.db`.

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The version of the schema (`PRAGMA user_version`).
const VERSION: i64 = 1;
/// How long to wait for another process that writes.
pub const PATIENCE: Duration = Duration::from_secs(2);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS work (
    id          INTEGER PRIMARY KEY,
    participant TEXT    NOT NULL,
    sid         TEXT    NOT NULL,
    wfid        TEXT    NOT NULL,
    workflow    TEXT    NOT NULL,
    started     INTEGER NOT NULL,
    ended       INTEGER NOT NULL,
    wait        INTEGER,
    outcome     INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    error       TEXT    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS work_times ON work (participant, started, ended, wait, outcome);
CREATE INDEX IF NOT EXISTS work_started ON work (started);
CREATE INDEX IF NOT EXISTS work_wfid ON work (wfid, started);
CREATE TABLE IF NOT EXISTS outcomes (outcome INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT;
INSERT OR IGNORE INTO outcomes VALUES
    (0, 'replied'), (1, 'forgotten'), (2, 'failed'), (3, 'crashed'), (4, 'timeout'), (5, 'cancelled'), (6, 'invalid');
CREATE VIEW IF NOT EXISTS history AS
    SELECT participant, sid, wfid, workflow,
           strftime('%Y-%m-%d %H:%M:%f', started / 1e6, 'unixepoch') AS start,
           strftime('%Y-%m-%d %H:%M:%f', ended / 1e6, 'unixepoch') AS end,
           (ended - started) / 1e6 AS seconds, wait / 1e6 AS waited, word AS outcome, attempt, error
    FROM work JOIN outcomes USING (outcome);
";

/// Opens it for writing; makes it where it is not there.
pub fn open(file: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(file)?;
    db.busy_timeout(PATIENCE)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != VERSION {
        write_ahead(&db)?;
        db.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT"))?;
    }
    // In WAL mode this survives every crash of a process; loss of power costs the last rows, not the file.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(db)
}

/// Puts it in WAL mode. Of two that do so at once SQLite tells one that it is locked, and does not wait as it was told.
fn write_ahead(db: &Connection) -> rusqlite::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match db.pragma_update(None, "journal_mode", "WAL") {
            Err(e) if is_locked(&e) && Instant::now() < end => thread::sleep(PATIENCE / 200),
            done => return done,
        }
    }
}

/// Whether another process has it.
pub fn is_locked(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Opens it for reading; `None` where it is not there.
pub fn open_to_read(file: &Path) -> rusqlite::Result<Option<Connection>> {
    // Where it may not be looked for, opening it says so.
    if let Ok(false) = file.try_exists() {
        return Ok(None);
    }
    match open_read_only(&file.to_string_lossy(), OpenFlags::SQLITE_OPEN_READ_ONLY) {
        // To read, too, SQLite makes files beside it. Where it may not (a read-only disk, a folder of somebody else's)
        // and nobody writes now, the file alone is all there is.
        Err(e)
            if matches!(e.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                && !has_a_log(file) =>
        {
            open_read_only(&immutable(file), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
        }
        opened => opened,
    }
}

/// `None` where it has no tables yet.
fn open_read_only(name: &str, flags: OpenFlags) -> rusqlite::Result<Option<Connection>> {
    // One thread uses it: no lock around each value of each row.
    let db = Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    // Only now is the file looked at.
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((version != 0).then_some(db))
}

/// Whether rows may stand in a write-ahead log beside it.
fn has_a_log(file: &Path) -> bool {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|meta| meta.len() > 0)
}

/// The URI of a database that nobody changes.
fn immutable(file: &Path) -> String {
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}
