//! `witness EVIDENCE`: a service, or a logger, that notes what it sees of its own supervision.
//!
//! Its `run` is one line, `#!/path/of/witness EVIDENCE`. In the folder EVIDENCE, which outlives it:
//!
//! | file | what |
//! |---|---|
//! | `alone` | locked as long as it runs; holds its pid |
//! | `notes` | a line for each start, and for whatever must not happen |
//! | `numbers` | service: the last line whose write began, the last one whose write returned (8 bytes each) |
//!
//! A service writes numbered lines to its standard output, from where the one before it stopped. A logger (EVIDENCE
//! ends with `.log`) becomes multilog, with the lock still held.

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::chaos::{Chance, LOG_SCRIPT, line};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_default());
    let mut notes = OpenOptions::new().append(true).create(true).open(folder.join("notes"))?;
    let mut note = |text: String| notes.write_all(format!("{text}\n").as_bytes());
    let pid = std::process::id();
    let mut alone = loop {
        let holder = holder(&folder);
        match (lock(&folder), holder) {
            (Ok(alone), _) => break alone,
            (Err(errno), Some(other)) => return note(format!("twice: {pid} beside {other} ({errno})")),
            // Whoever looks at /proc/PID/fd, as the test does, holds on to the files of PID for an instant longer than it.
            (Err(_), None) => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    };
    alone.set_len(0)?;
    writeln!(alone, "{pid}")?;
    if folder.extension().is_some_and(|kind| kind == "log") {
        note(format!("start {pid} 0 0 {}", pipe(0)?))?;
        fcntl(alone.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        return Err(Command::new("multilog").args(LOG_SCRIPT).exec());
    }
    let numbers = OpenOptions::new().read(true).write(true).open(folder.join("numbers"))?;
    let mut two = [0; 16];
    numbers.read_exact_at(&mut two, 0)?;
    let [begun, done] = [0, 8].map(|at| two[at..at + 8].try_into().map_or(0, u64::from_le_bytes));
    note(format!("start {pid} {done} {begun} {}", pipe(1)?))?;
    let Err(e) = serve(&numbers, begun);
    note(format!("unable to write: {e}"))
}

/// Writes the lines that come after this one.
fn serve(numbers: &File, mut done: u64) -> io::Result<Infallible> {
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // What may have been written in part is noted by now. The line ends here.
    record(numbers, done, done)?;
    out.write_all(b"\n")?;
    let mut chance = Chance::new(u64::from(std::process::id()) ^ done);
    loop {
        let next = done + 1;
        // Sometimes more than a pipe holds, so that a kill comes in the middle of a write.
        let many = match chance.below(1000) {
            0..10 => 1500,
            10..40 => 60,
            _ => 1 + chance.below(3),
        };
        let text: String = (next..next + many).map(line).collect();
        record(numbers, next + many - 1, done)?;
        out.write_all(text.as_bytes())?;
        done = next + many - 1;
        record(numbers, done, done)?;
        std::thread::sleep(chance.time(200));
    }
}

fn record(numbers: &File, begun: u64, done: u64) -> io::Result<()> {
    numbers.write_all_at(&[begun.to_le_bytes(), done.to_le_bytes()].concat(), 0)
}

fn lock(folder: &Path) -> Result<Flock<File>, nix::Error> {
    let file = OpenOptions::new().append(true).create(true).open(folder.join("alone"));
    // Where there is no folder there is nobody to be told.
    Flock::lock(file.expect("the folder of the evidence"), FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| errno)
}

/// The process that noted last that it has the lock, while it lives.
fn holder(folder: &Path) -> Option<i32> {
    let pid = std::fs::read_to_string(folder.join("alone")).ok()?.trim_end().parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, state) = stat.rsplit_once(") ")?;
    (!state.starts_with(['Z', 'X'])).then_some(pid)
}

/// What one of the standard descriptors leads to: `pipe:[NUMBER]`.
fn pipe(descriptor: i32) -> io::Result<String> {
    Ok(std::fs::read_link(format!("/proc/self/fd/{descriptor}"))?.to_string_lossy().into_owned())
}
