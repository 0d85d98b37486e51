//! What survives: durable queues, exchanges, bindings, and every message in a durable queue, in SQLite.
//!
//! One thread writes; all that has arrived meanwhile is one transaction, on disk (`synchronous=FULL`) before
//! its messages are confirmed.

use crate::queue::Message;
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A change.
#[derive(Debug)]
pub enum Change {
    /// A message came to a durable queue.
    Put { id: u64, vhost: String, queue: String, message: Arc<Message> },
    /// A message is gone.
    Gone(u64),
    /// A durable queue was declared.
    Queue { vhost: String, name: String },
    /// A queue, its messages and bindings are gone.
    NoQueue { vhost: String, name: String },
    /// A durable exchange was declared.
    Exchange { vhost: String, name: String, kind: &'static str },
    /// An exchange and its bindings are gone.
    NoExchange { vhost: String, name: String },
    /// A durable queue was bound to a durable exchange.
    Bind { vhost: String, exchange: String, queue: String, key: String },
    /// That binding is gone.
    Unbind { vhost: String, exchange: String, queue: String, key: String },
}

/// What was there at the start.
#[derive(Debug, Default)]
pub struct Contents {
    /// vhost and name.
    pub queues: Vec<(String, String)>,
    /// vhost, name, kind.
    pub exchanges: Vec<(String, String, String)>,
    /// vhost, exchange, queue, key.
    pub bindings: Vec<(String, String, String, String)>,
    /// id, vhost, queue, message; in order.
    pub messages: Vec<(u64, String, String, Message)>,
}

const TABLES: &str = "
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS queue (vhost TEXT, name TEXT, PRIMARY KEY (vhost, name));
CREATE TABLE IF NOT EXISTS exchange (vhost TEXT, name TEXT, kind TEXT, PRIMARY KEY (vhost, name));
CREATE TABLE IF NOT EXISTS binding (vhost TEXT, exchange TEXT, queue TEXT, key TEXT,
    PRIMARY KEY (vhost, exchange, queue, key));
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, vhost TEXT, queue TEXT, exchange TEXT, key TEXT,
    header BLOB, body BLOB);";

/// The writing side.
pub struct Store {
    changes: Sender<(u64, Vec<Change>)>,
    writer: std::thread::JoinHandle<()>,
}

impl Store {
    /// Opens the store, reads what is in it, and starts its thread, which calls `stored` with the number of the
    /// last batch that is on disk, and with the reason when it cannot write any more.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn open(
        file: &Path,
        stored: impl FnMut(Result<u64, String>) + Send + 'static,
    ) -> rusqlite::Result<(Self, Contents)> {
        let connection = Connection::open(file)?;
        connection.execute_batch(TABLES)?;
        let contents = load(&connection)?;
        let (changes, inbox) = channel();
        let writer = std::thread::spawn(move || write_all(connection, &inbox, stored));
        Ok((Self { changes, writer }, contents))
    }

    /// Has a batch written.
    pub fn write(&self, number: u64, changes: Vec<Change>) {
        // A writer that has ended has said why.
        let _ = self.changes.send((number, changes));
    }

    /// Returns when everything is on disk.
    pub fn close(self) {
        drop(self.changes);
        // A writer that panicked has nothing more to flush.
        let _ = self.writer.join();
    }
}

fn write_all(
    mut connection: Connection,
    inbox: &Receiver<(u64, Vec<Change>)>,
    mut stored: impl FnMut(Result<u64, String>),
) {
    while let Ok(first) = inbox.recv() {
        let batches: Vec<_> = std::iter::once(first).chain(inbox.try_iter()).collect();
        let last = batches.last().map_or(0, |(number, _)| *number);
        let written = write(&mut connection, batches.iter().flat_map(|(_, changes)| changes));
        let failed = written.is_err();
        stored(written.map(|()| last).map_err(|e| e.to_string()));
        if failed {
            return;
        }
    }
}

fn write<'a>(connection: &mut Connection, changes: impl Iterator<Item = &'a Change>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            transaction.prepare_cached(sql)?.execute(values).map(drop)
        };
        match change {
            Change::Put { id, vhost, queue, message: m } => run(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![*id as i64, vhost, queue, m.exchange, m.key, m.header, m.body],
            )?,
            Change::Gone(id) => run("DELETE FROM message WHERE id = ?", params![*id as i64])?,
            Change::Queue { vhost, name } => {
                run("INSERT OR IGNORE INTO queue VALUES (?, ?)", params![vhost, name])?
            }
            Change::NoQueue { vhost, name } => {
                run("DELETE FROM queue WHERE vhost = ? AND name = ?", params![vhost, name])?;
                run("DELETE FROM message WHERE vhost = ? AND queue = ?", params![vhost, name])?;
                run("DELETE FROM binding WHERE vhost = ? AND queue = ?", params![vhost, name])?;
            }
            Change::Exchange { vhost, name, kind } => {
                run("INSERT OR IGNORE INTO exchange VALUES (?, ?, ?)", params![vhost, name, kind])?;
            }
            Change::NoExchange { vhost, name } => {
                run("DELETE FROM exchange WHERE vhost = ? AND name = ?", params![vhost, name])?;
                run("DELETE FROM binding WHERE vhost = ? AND exchange = ?", params![vhost, name])?;
            }
            Change::Bind { vhost, exchange, queue, key } => run(
                "INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)",
                params![vhost, exchange, queue, key],
            )?,
            Change::Unbind { vhost, exchange, queue, key } => run(
                "DELETE FROM binding WHERE vhost = ? AND exchange = ? AND queue = ? AND key = ?",
                params![vhost, exchange, queue, key],
            )?,
        }
    }
    transaction.commit()
}

fn load(connection: &Connection) -> rusqlite::Result<Contents> {
    let mut contents = Contents::default();
    let mut rows = connection.prepare("SELECT vhost, name FROM queue")?;
    contents.queues = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut rows = connection.prepare("SELECT vhost, name, kind FROM exchange")?;
    contents.exchanges =
        rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?;
    let mut rows = connection.prepare("SELECT vhost, exchange, queue, key FROM binding")?;
    contents.bindings = rows
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut rows = connection
        .prepare("SELECT id, vhost, queue, exchange, key, header, body FROM message ORDER BY id")?;
    contents.messages = rows
        .query_map([], |r| {
            let message = Message { exchange: r.get(3)?, key: r.get(4)?, header: r.get(5)?, body: r.get(6)? };
            Ok((r.get::<_, i64>(0)? as u64, r.get(1)?, r.get(2)?, message))
        })?
        .collect::<Result<_, _>>()?;
    Ok(contents)
}
