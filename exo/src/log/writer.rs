//! The thread that writes the log. Lines never wait for it: what nobody reads is dropped, and counted.
//!
//! A line after a pause goes out at once; those that follow within [`PAUSE`] go out together, as to wake a thread
//! for each line would cost more than the line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long lines are collected after some were written.
const PAUSE: Duration = Duration::from_millis(10);
/// So many bytes of them may wait.
const ROOM: usize = 1 << 20;
/// How long the last lines may take at the end of the process.
const LAST: Duration = Duration::from_secs(2);

/// Lines that wait.
#[derive(Debug, Default)]
pub struct Tray {
    lines: Mutex<Waiting>,
    bell: Condvar,
    dropped: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread waits for a line, and not for the end of a pause.
    idle: bool,
    /// There will be no more.
    closed: bool,
    /// All are written.
    done: bool,
}

/// Sees to it that the last lines are written when it is dropped.
#[derive(Debug)]
pub struct Guard(Arc<Tray>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.bell.notify_all();
        // A logger that stands still does not keep the process from its end.
        let done = self.0.bell.wait_timeout_while(self.0.lock(), LAST, |waiting| !waiting.done);
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tray {
    /// How many lines had to be dropped.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes whole lines.
impl Write for &Tray {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > ROOM {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        let wake = std::mem::take(&mut waiting.idle);
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if wake {
            self.bell.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to write to `out`.
///
/// # Errors
/// When no thread can be started.
pub fn start(out: impl Write + Send + 'static) -> io::Result<(Arc<Tray>, Guard)> {
    let tray: Arc<Tray> = Arc::default();
    let inbox = Arc::clone(&tray);
    let _: JoinHandle<()> =
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(&inbox, out))?;
    Ok((Arc::clone(&tray), Guard(tray)))
}

fn write_all(tray: &Tray, mut out: impl Write) {
    let mut lines = vec![];
    loop {
        let idle = |waiting: &mut Waiting| {
            waiting.idle = waiting.lines.is_empty() && !waiting.closed;
            waiting.idle
        };
        let waited = tray.bell.wait_while(tray.lock(), idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.is_empty() {
            waiting.done = true;
            tray.bell.notify_all();
            return;
        }
        std::mem::swap(&mut lines, &mut waiting.lines);
        drop(waiting);
        // Nobody reads the log any more: no reason to stop working.
        let _ = out.write_all(&lines);
        lines.clear();
        lines.shrink_to(ROOM >> 4);
        let paused = tray.bell.wait_timeout_while(tray.lock(), PAUSE, |waiting| !waiting.closed);
        drop(paused.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Writes where a test can read it, once that lets it.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_come_while_one_is_written_go_out_together_and_the_last_at_the_end() {
        let (go, wait) = mpsc::channel();
        let (told, written) = mpsc::channel();
        let (tray, guard) = start(Slow(wait, told)).unwrap();
        (&*tray).write_all(b"one\n").unwrap();
        go.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), b"one\n");
        (&*tray).write_all(b"two\n").unwrap();
        (&*tray).write_all(b"three\n").unwrap();
        drop(go); // from now on it does not wait
        drop(guard);
        assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"two\nthree\n");
        assert_eq!(tray.dropped(), 0);
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted_and_nobody_waits() {
        let (_go, wait) = mpsc::channel();
        let (told, _written) = mpsc::channel();
        let (tray, guard) = start(Slow(wait, told)).unwrap();
        let line = vec![b'x'; ROOM / 4];
        (0..20).for_each(|_| (&*tray).write_all(&line).unwrap());
        assert!(tray.dropped() >= 12, "{}", tray.dropped());
        drop(guard);
    }
}
