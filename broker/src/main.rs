//! `skynet-broker DIR`: a small AMQP 0-9-1 broker, for one machine and one user.
//!
//! | file | idea |
//! |---|---|
//! | `broker/` | the broker itself, without sockets and clock |
//! | `queue.rs`, `exchange.rs` | order and turns; routing |
//! | `message.rs`, `arguments.rs` | what of a message's header, of a queue's arguments, is heeded |
//! | `fault.rs` | wrong use, in RabbitMQ's codes |
//! | `wire.rs` | frames as bytes |
//! | `server.rs` | the sockets around the broker |
//! | `line.rs`, `conversation.rs`, `outbox.rs` | one peer: handshake and end; what lies between; what it is sent |
//! | `old.rs` | what AMQP 0-9 and 0-8 say otherwise |
//! | `store.rs` | what survives, in SQLite |
//! | `settings.rs` | `broker.toml` |
//!
//! Exit codes: 0 told to stop (TERM, INT); 100 wrong usage; 111 trouble.
#![forbid(unsafe_code)]

mod arguments;
mod broker;
mod conversation;
mod exchange;
mod fault;
mod line;
mod message;
mod old;
mod outbox;
mod queue;
mod server;
mod settings;
mod store;
mod wire;

use nix::fcntl::{Flock, FlockArg};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;

const HELP: &str = "\
skynet-broker DIR: a small AMQP 0-9-1 broker, for one machine and one user.

DIR (mode 0700) holds broker.toml (mode 0600):

  listen = \"127.0.0.1:20000\"     # loopback only
  user = \"skynet\"
  password = \"...\"
  vhosts = [\"boss\"]

and what survives a restart. `skynet local up` makes and starts one. Production
uses RabbitMQ.

  --help      this text
  --version   the version";

/// A reader who has seen enough is no failure.
fn told(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let dir = match args.as_slice() {
        [word] if word == "--help" || word == "-h" => return told(HELP),
        [word] if word == "--version" => return told(concat!("skynet-broker ", env!("CARGO_PKG_VERSION"))),
        [dir] if !dir.to_string_lossy().starts_with('-') => PathBuf::from(dir),
        _ => {
            eprintln!("skynet-broker: usage: skynet-broker DIR (see --help)");
            return ExitCode::from(100);
        }
    };
    tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stdout)
        .init();
    match run(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("skynet-broker: fatal: {reason}");
            ExitCode::from(111)
        }
    }
}

fn run(dir: &Path) -> Result<(), String> {
    let settings = settings::read(dir)?;
    let _lock = take(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (report, stored) = mpsc::unbounded_channel();
        let file = dir.join("broker.db");
        // The receiver ends with the process.
        let cannot_open = |e: rusqlite::Error| cannot_open(&file, &e);
        let (store, shelf) =
            store::Store::open(&file, move |batch| drop(report.send(batch))).map_err(cannot_open)?;
        let listener = TcpListener::bind(settings.listen).await.map_err(|e| {
            let reason = e.to_string().to_lowercase();
            let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
            format!("cannot listen on {}: {reason}", settings.listen)
        })?;
        let broker = fill(&settings, shelf).map_err(cannot_open)?;
        let cannot = |e: std::io::Error| format!("cannot receive signals: {e}");
        let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut int = signal(SignalKind::interrupt()).map_err(cannot)?;
        server::announce(&settings);
        let stop = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            info!("told to stop");
        };
        server::Server::new(settings, broker, store).run(listener, stored, stop).await
    })
}

/// Why the messages that were kept cannot be read, and how to go on without them: that is for their owner to decide.
fn cannot_open(file: &Path, why: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let shown = file.display();
    let way_out = match why.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            format!(" (to go on without the messages in it: mv {shown} {shown}.damaged; rm -f {shown}-*)")
        }
        _ => String::new(),
    };
    format!("cannot open {shown}: {why}{way_out}")
}

/// A broker with what the store holds.
fn fill(settings: &settings::Settings, shelf: store::Shelf) -> rusqlite::Result<broker::Broker> {
    let shelf = std::rc::Rc::new(shelf);
    let (contents, weight) = (shelf.contents()?, shelf.weight().clone());
    let mut broker = broker::Broker::new(
        &settings.user,
        &settings.vhosts,
        contents,
        Box::new(std::rc::Rc::clone(&shelf)),
        weight,
    );
    shelf.messages(|id, vhost, queue, ttl| broker.found(id, vhost, queue, ttl))?;
    Ok(broker)
}

impl broker::Shelf for std::rc::Rc<store::Shelf> {
    fn fetch(&self, id: u64) -> Result<Option<message::Message>, String> {
        store::Shelf::fetch(self, id).map_err(|e| e.to_string())
    }
}

/// One broker per folder, which is nobody else's.
fn take(dir: &Path) -> Result<Flock<std::fs::File>, String> {
    let shown = dir.display();
    let mode = dir.metadata().map_err(|e| format!("cannot look at {shown}: {e}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others may look into {shown}: repair with: chmod 700 {shown}"));
    }
    let lock = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join("lock"));
    let lock = lock.map_err(|e| format!("cannot open {shown}/lock: {e}"))?;
    Flock::lock(lock, FlockArg::LockExclusiveNonblock)
        .map_err(|_| format!("cannot lock {shown}: another skynet-broker uses it"))
}
