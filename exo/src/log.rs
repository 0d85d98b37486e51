//! The participant's log: lines on standard output, which multilog stamps with the time.
//!
//! Written by a thread of their own: a logger that stands still never holds up the AMQP connection and its
//! heartbeats. Lines that had to be dropped for that are counted and said.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Begins to log to standard output. Lines are written out when the guard is dropped.
pub fn start() -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(10_000).finish(std::io::stdout());
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        // lapin reports what becomes an event of ours anyway.
        .with_env_filter(EnvFilter::new("info,lapin=off"))
        .with_writer(writer)
        .finish();
    // Only a test that starts a second session has one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}
