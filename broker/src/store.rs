//! What survives: durable queues, exchanges, bindings, and every message in a durable queue, in SQLite.
//!
//! One thread writes; all that has arrived meanwhile is one transaction. One that holds a persistent message is
//! on disk (`synchronous=FULL`) before anything in it is confirmed; any other survives the death of the broker,
//! not of the machine. A message that came and went within one transaction is not written at all.

use crate::arguments::{table_from_bytes, table_to_bytes};
use crate::exchange::Binding;
use crate::message::{Message, Weight};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A change.
#[derive(Debug)]
pub enum Change {
    /// A message came to a durable queue.
    Put {
        /// Its name on disk.
        id: u64,
        /// Where the queue is.
        vhost: String,
        /// The queue.
        queue: String,
        /// The message.
        message: Arc<Message>,
        /// It must survive loss of power.
        persistent: bool,
        /// Its time to live in milliseconds.
        ttl: Option<u64>,
    },
    /// A message is gone.
    Gone(u64),
    /// A durable queue was declared.
    Queue { vhost: String, name: String, arguments: Vec<u8> },
    /// A queue, its messages and bindings are gone.
    NoQueue { vhost: String, name: String },
    /// A durable exchange was declared.
    Exchange { vhost: String, name: String, kind: &'static str, auto_delete: bool },
    /// An exchange and its bindings are gone.
    NoExchange { vhost: String, name: String },
    /// A durable queue was bound to a durable exchange.
    Bind { vhost: String, exchange: String, binding: Binding },
    /// That binding is gone.
    Unbind { vhost: String, exchange: String, binding: Binding },
}

impl Change {
    /// Whether loss of power must not undo it. What is gone may come back: it is delivered once more.
    fn needs_the_disk(&self) -> bool {
        !matches!(self, Self::Put { persistent: false, .. } | Self::Gone(_))
    }
}

/// What was there at the start, without the messages.
#[derive(Debug, Default)]
pub struct Contents {
    /// vhost, name, arguments.
    pub queues: Vec<(String, String, Vec<u8>)>,
    /// vhost, name, kind, auto-delete.
    pub exchanges: Vec<(String, String, String, bool)>,
    /// vhost, exchange, binding.
    pub bindings: Vec<(String, String, Binding)>,
}

const TABLES: &str = "
PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS queue (vhost TEXT, name TEXT, arguments BLOB, PRIMARY KEY (vhost, name));
CREATE TABLE IF NOT EXISTS exchange (vhost TEXT, name TEXT, kind TEXT, auto_delete INTEGER DEFAULT 0,
    PRIMARY KEY (vhost, name));
CREATE TABLE IF NOT EXISTS bound (vhost TEXT, exchange TEXT, queue TEXT, key TEXT, arguments BLOB,
    PRIMARY KEY (vhost, exchange, queue, key, arguments));
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, vhost TEXT, queue TEXT, exchange TEXT, key TEXT,
    header BLOB, body BLOB, ttl INTEGER);";

/// What version 0 of the tables had not, and where it kept bindings.
const SINCE_VERSION_1: [&str; 5] = [
    "ALTER TABLE queue ADD COLUMN arguments BLOB",
    "ALTER TABLE exchange ADD COLUMN auto_delete INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN ttl INTEGER",
    "INSERT INTO bound SELECT vhost, exchange, queue, key, x'00000000' FROM binding",
    "DROP TABLE binding",
];

/// How long to wait before what could not be written is written again.
const AGAIN: Duration = Duration::from_secs(1);

/// The writing side.
pub struct Store {
    changes: Sender<(u64, Vec<Change>)>,
    writer: std::thread::JoinHandle<Result<(), String>>,
}

impl Store {
    /// Opens the store and starts its thread, which calls `stored` with the number of the last batch that is
    /// written, and once with the reason when it cannot write: it tries again until it can.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn open(
        file: &Path,
        stored: impl FnMut(Result<u64, String>) + Send + 'static,
    ) -> rusqlite::Result<(Self, Shelf)> {
        let connection = Connection::open(file)?;
        prepare(&connection)?;
        let shelf = Shelf { connection: Connection::open(file)?, weight: Weight::default() };
        let (changes, inbox) = channel();
        let writer = std::thread::spawn(move || write_all(connection, &inbox, stored));
        Ok((Self { changes, writer }, shelf))
    }

    /// Has a batch written.
    pub fn write(&self, number: u64, changes: Vec<Change>) {
        // A writer that has ended has said why.
        let _ = self.changes.send((number, changes));
    }

    /// Returns when everything is on disk.
    ///
    /// # Errors
    /// Why what came last could not be written.
    pub fn close(self) -> Result<(), String> {
        drop(self.changes);
        self.writer.join().unwrap_or_else(|_| Err("its thread has panicked".into()))
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if version == 0 {
        for sql in SINCE_VERSION_1 {
            match connection.execute_batch(sql) {
                // A fresh store has the columns already, and never had the table.
                Err(e) if ["duplicate column", "no such table"].iter().any(|w| e.to_string().contains(w)) => {
                }
                result => result?,
            }
        }
        connection.pragma_update(None, "user_version", 1)?;
    }
    Ok(())
}

fn write_all(
    mut connection: Connection,
    inbox: &Receiver<(u64, Vec<Change>)>,
    mut stored: impl FnMut(Result<u64, String>),
) -> Result<(), String> {
    while let Ok(first) = inbox.recv() {
        let mut last = first.0;
        let mut changes = first.1;
        // What cannot be written is tried again, together with what comes meanwhile, for as long as it takes.
        let mut failed = false;
        loop {
            for (number, more) in inbox.try_iter() {
                last = number;
                changes.extend(more);
            }
            let trouble = match write(&mut connection, &changes) {
                Ok(()) => break,
                Err(e) => e.to_string(),
            };
            if !failed {
                stored(Err(trouble.clone()));
            }
            failed = true;
            match inbox.recv_timeout(AGAIN) {
                Ok((number, more)) => {
                    last = number;
                    changes.extend(more);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(trouble),
            }
        }
        drop(changes);
        stored(Ok(last));
    }
    // The end is orderly: what only the kernel has goes to the disk, too.
    let _ = connection.pragma_update(None, "synchronous", "FULL");
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    Ok(())
}

fn write(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let gone: HashSet<u64> =
        changes.iter().filter_map(|c| if let Change::Gone(id) = c { Some(*id) } else { None }).collect();
    let brief: HashSet<u64> = changes
        .iter()
        .filter_map(|c| if let Change::Put { id, .. } = c { gone.contains(id).then_some(*id) } else { None })
        .collect();
    let skipped = |change: &&Change| match change {
        Change::Put { id, .. } | Change::Gone(id) => brief.contains(id),
        _ => false,
    };
    let mut rest = changes.iter().filter(|c| !skipped(c)).peekable();
    if rest.peek().is_none() {
        return Ok(());
    }
    let full = changes.iter().any(|c| !skipped(&c) && c.needs_the_disk());
    connection.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
    let transaction = connection.transaction()?;
    rest.try_for_each(|change| apply(&transaction, change))?;
    transaction.commit()
}

fn apply(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(values).map(drop)
    };
    match change {
        Change::Put { id, vhost, queue, message: m, ttl, .. } => run(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![*id as i64, vhost, queue, m.exchange, m.key, m.header, m.body, ttl.map(|ms| ms as i64)],
        ),
        Change::Gone(id) => run("DELETE FROM message WHERE id = ?", params![*id as i64]),
        Change::Queue { vhost, name, arguments } => {
            run("INSERT OR IGNORE INTO queue VALUES (?, ?, ?)", params![vhost, name, arguments])
        }
        Change::NoQueue { vhost, name } => {
            run("DELETE FROM queue WHERE vhost = ? AND name = ?", params![vhost, name])?;
            run("DELETE FROM message WHERE vhost = ? AND queue = ?", params![vhost, name])?;
            run("DELETE FROM bound WHERE vhost = ? AND queue = ?", params![vhost, name])
        }
        Change::Exchange { vhost, name, kind, auto_delete } => {
            run("INSERT OR IGNORE INTO exchange VALUES (?, ?, ?, ?)", params![vhost, name, kind, auto_delete])
        }
        Change::NoExchange { vhost, name } => {
            run("DELETE FROM exchange WHERE vhost = ? AND name = ?", params![vhost, name])?;
            run("DELETE FROM bound WHERE vhost = ? AND exchange = ?", params![vhost, name])
        }
        Change::Bind { vhost, exchange, binding: b } => run(
            "INSERT OR IGNORE INTO bound VALUES (?, ?, ?, ?, ?)",
            params![vhost, exchange, b.queue, b.key, table_to_bytes(&b.arguments)],
        ),
        Change::Unbind { vhost, exchange, binding: b } => run(
            "DELETE FROM bound WHERE vhost = ? AND exchange = ? AND queue = ? AND key = ? AND arguments = ?",
            params![vhost, exchange, b.queue, b.key, table_to_bytes(&b.arguments)],
        ),
    }
}

/// The reading side: what was there at the start, and messages whose copy in memory was given up.
pub struct Shelf {
    connection: Connection,
    weight: Weight,
}

impl Shelf {
    /// What counts the messages in memory.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// Everything but the messages.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn contents(&self) -> rusqlite::Result<Contents> {
        let mut contents = Contents::default();
        let mut rows = self.connection.prepare("SELECT vhost, name, arguments FROM queue")?;
        let queue =
            |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get::<_, Option<_>>(2)?.unwrap_or_default()));
        contents.queues = rows.query_map([], queue)?.collect::<Result<_, _>>()?;
        let mut rows = self.connection.prepare("SELECT vhost, name, kind, auto_delete FROM exchange")?;
        contents.exchanges = rows
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
            .collect::<Result<_, _>>()?;
        let mut rows = self.connection.prepare("SELECT vhost, exchange, queue, key, arguments FROM bound")?;
        let binding = |r: &rusqlite::Row<'_>| {
            let arguments = table_from_bytes(&r.get::<_, Vec<u8>>(4)?);
            Ok((r.get(0)?, r.get(1)?, Binding { queue: r.get(2)?, key: r.get(3)?, arguments }))
        };
        contents.bindings = rows.query_map([], binding)?.collect::<Result<_, _>>()?;
        Ok(contents)
    }

    /// Tells id, vhost, queue and time to live (in milliseconds) of each message, in order.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn messages(&self, mut each: impl FnMut(u64, &str, &str, Option<u64>)) -> rusqlite::Result<()> {
        let mut statement =
            self.connection.prepare("SELECT id, vhost, queue, ttl FROM message ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let ttl: Option<i64> = row.get(3)?;
            let id: i64 = row.get(0)?;
            each(id as u64, row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?, ttl.map(|ms| ms as u64));
        }
        Ok(())
    }

    /// Reads a message; `None` when it is not there.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn fetch(&self, id: u64) -> rusqlite::Result<Option<Message>> {
        let sql = "SELECT exchange, key, header, body FROM message WHERE id = ?";
        self.connection
            .prepare_cached(sql)?
            .query_row([id as i64], |r| {
                Ok(Message::new(r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, &self.weight))
            })
            .optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: u64) -> Change {
        let message = Arc::new(Message::for_test("q", format!("body {id}").as_bytes()));
        Change::Put { id, vhost: "/".into(), queue: "q".into(), message, persistent: false, ttl: Some(id) }
    }

    fn ids(shelf: &Shelf) -> Vec<(u64, Option<u64>)> {
        let mut ids = vec![];
        shelf.messages(|id, _, _, ttl| ids.push((id, ttl))).unwrap();
        ids
    }

    #[test]
    fn what_came_and_went_within_a_transaction_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join("db")).unwrap();
        prepare(&connection).unwrap();
        write(&mut connection, &[put(1), put(2), Change::Gone(1), put(3)]).unwrap();
        let changes = connection.total_changes();
        write(&mut connection, &[put(4), Change::Gone(4)]).unwrap();
        assert_eq!(connection.total_changes(), changes);
        let shelf = Shelf { connection, weight: Weight::default() };
        assert_eq!(ids(&shelf), [(2, Some(2)), (3, Some(3))]);
        assert_eq!(shelf.fetch(2).unwrap().unwrap().body, b"body 2");
        assert!(shelf.fetch(1).unwrap().is_none());
    }

    #[test]
    fn a_queue_goes_with_its_messages_and_bindings() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join("db")).unwrap();
        prepare(&connection).unwrap();
        let (vhost, name) = (String::from("/"), String::from("q"));
        let binding = Binding { queue: "q".into(), key: "k".into(), arguments: Default::default() };
        let bind = Change::Bind { vhost: "/".into(), exchange: "e".into(), binding };
        let queue = Change::Queue { vhost: "/".into(), name: "q".into(), arguments: vec![1] };
        write(&mut connection, &[queue, bind, put(1)]).unwrap();
        write(&mut connection, &[Change::NoQueue { vhost, name }]).unwrap();
        let shelf = Shelf { connection, weight: Weight::default() };
        let contents = shelf.contents().unwrap();
        assert!(contents.queues.is_empty() && contents.bindings.is_empty() && ids(&shelf).is_empty());
    }

    #[test]
    fn the_tables_of_the_first_version_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db");
        let old = Connection::open(&file).unwrap();
        old.execute_batch(
            "CREATE TABLE queue (vhost TEXT, name TEXT, PRIMARY KEY (vhost, name));
             CREATE TABLE exchange (vhost TEXT, name TEXT, kind TEXT, PRIMARY KEY (vhost, name));
             CREATE TABLE message (id INTEGER PRIMARY KEY, vhost TEXT, queue TEXT, exchange TEXT, key TEXT,
                 header BLOB, body BLOB);
             CREATE TABLE binding (vhost TEXT, exchange TEXT, queue TEXT, key TEXT,
                 PRIMARY KEY (vhost, exchange, queue, key));
             INSERT INTO binding VALUES ('/', 'e', 'q', 'k');
             INSERT INTO queue VALUES ('/', 'q'); INSERT INTO exchange VALUES ('/', 'e', 'topic');
             INSERT INTO message VALUES (7, '/', 'q', '', 'q', x'00', x'41');",
        )
        .unwrap();
        drop(old);
        let (store, shelf) = Store::open(&file, |_| {}).unwrap();
        let contents = shelf.contents().unwrap();
        assert_eq!(contents.queues, [("/".into(), "q".into(), vec![])]);
        assert_eq!(contents.exchanges, [("/".into(), "e".into(), "topic".into(), false)]);
        let binding = Binding { queue: "q".into(), key: "k".into(), arguments: Default::default() };
        assert_eq!(contents.bindings, [("/".into(), "e".into(), binding)]);
        assert_eq!(ids(&shelf), [(7, None)]);
        store.close().unwrap();
    }
}
