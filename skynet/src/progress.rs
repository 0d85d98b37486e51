//! What is being waited for, on a terminal, once a wait takes over a second; gone when it is over.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(1);
/// Where standard error is no terminal a line is said this often.
const LINES: Duration = Duration::from_secs(5);

/// Whether a line of progress stands on the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Takes the line of progress away, if one stands there.
pub fn clear() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        // Progress that nobody sees needs no clearing.
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

/// A wait that people watch.
pub struct Progress {
    since: Instant,
    next: Instant,
    terminal: bool,
}

impl Progress {
    /// Begins now.
    pub fn begin() -> Self {
        let now = Instant::now();
        let terminal = stderr().is_terminal();
        Self { since: now, next: now + if terminal { SHORT } else { LINES }, terminal }
    }

    /// Says what is waited for, if it is time to.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let (what, seconds) = (what(), (now - self.since).as_secs());
        // Progress that nobody sees is none.
        let _ = if self.terminal {
            self.next = now + SHORT;
            let room = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
            let text: String = format!("{what} … {seconds}s").chars().take(room.saturating_sub(1)).collect();
            SHOWN.store(true, Ordering::SeqCst);
            write!(stderr(), "\r\x1b[K{text}")
        } else {
            self.next = now + LINES;
            writeln!(stderr(), "{what}")
        };
    }
}

/// Something that is waited for elsewhere; its progress is gone when this is.
pub struct During(Option<(Sender<()>, JoinHandle<()>)>);

/// Says on a terminal that this is waited for, from a second on, for as long as the result lives.
pub fn during(what: impl Into<String>) -> During {
    if !stderr().is_terminal() {
        return During(None);
    }
    let (over, until) = mpsc::channel();
    let what = what.into();
    let teller = std::thread::spawn(move || {
        let mut progress = Progress::begin();
        while let Err(RecvTimeoutError::Timeout) = until.recv_timeout(SHORT) {
            progress.tell(|| what.clone());
        }
    });
    During(Some((over, teller)))
}

impl Drop for During {
    fn drop(&mut self) {
        if let Some((over, teller)) = self.0.take() {
            drop(over);
            // It tells nothing that could fail.
            let _ = teller.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        clear();
    }
}
