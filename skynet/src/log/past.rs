//! What logs hold now, merged by time: each log's parts are searched ahead by workers, the oldest line goes first.

use super::files::{self, Piece};
use super::search::{Part, Pool, parts, search};
use super::wanted::{Found, Wanted};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use unix::tai64n::Tai64n;

/// How many parts of a log are searched ahead.
const AHEAD: usize = 4;

/// A log as it is now.
#[derive(Debug)]
pub struct Past {
    /// Whose it is.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The files that may hold what is wanted, oldest first, each with its length.
    files: Vec<(Arc<File>, u64)>,
}

impl Past {
    /// Opens the files of a log that may hold lines not older than `since`. With `whole`, a line that is being
    /// written is left for later.
    ///
    /// # Errors
    /// What opening them reports.
    pub fn open(dir: &Path, name: &str, since: Option<Tai64n>, whole: bool) -> io::Result<Self> {
        let recent = |piece: &Piece| match (since, piece.ends) {
            (Some(since), Some(ends)) => ends >= since,
            _ => true,
        };
        let mut files = vec![];
        for piece in files::after(dir, None)?.into_iter().filter(recent) {
            let length = piece.file.metadata()?.len();
            files.push((Arc::new(piece.file), length));
        }
        if whole && let Some((file, length)) = files.last_mut() {
            *length = files::end_of_last_line(file, *length)?;
        }
        Ok(Self { name: name.to_owned(), dir: dir.to_owned(), files })
    }

    /// The newest file and how far it was looked at: where to go on.
    pub fn end(&self) -> Option<(Arc<File>, u64)> {
        self.files.last().cloned()
    }

    fn parts(&self, wanted: &Wanted) -> VecDeque<Part> {
        self.files.iter().flat_map(|(file, length)| parts(file, *length, wanted)).collect()
    }

    /// The last `count` lines that are wanted, read from the end.
    fn last(&self, wanted: &Wanted, count: usize) -> io::Result<Vec<(Option<Tai64n>, Vec<u8>)>> {
        let mut lines = vec![];
        for part in self.parts(wanted).iter().rev() {
            let found = search(part, wanted)?;
            let line = |i| {
                let (at, text) = found.line(i);
                (at, text.to_vec())
            };
            lines.extend((0..found.len()).rev().take(count - lines.len()).map(line));
            if lines.len() >= count {
                break;
            }
        }
        lines.reverse();
        Ok(lines)
    }
}

/// Hands all lines of all logs that are wanted to `take`, the oldest first.
///
/// # Errors
/// What reading or `take` reports.
pub fn all(
    logs: &[Past],
    wanted: &Wanted,
    take: impl FnMut(usize, Option<Tai64n>, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let pool = Pool::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| pool.work(wanted));
        }
        let merged = merge(logs, wanted, &pool, take);
        pool.close();
        merged
    })
}

fn merge(
    logs: &[Past],
    wanted: &Wanted,
    pool: &Pool,
    mut take: impl FnMut(usize, Option<Tai64n>, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut streams = vec![];
    for log in logs {
        streams.push(Stream::begin(log.parts(wanted), pool));
    }
    for stream in &mut streams {
        stream.advance(pool)?;
    }
    loop {
        let heads = streams.iter().enumerate().filter(|(_, stream)| !stream.over);
        let Some((oldest, _)) = heads.min_by_key(|(_, stream)| stream.time()) else { return Ok(()) };
        let stream = &mut streams[oldest];
        let (_, text) = stream.found.line(stream.next);
        take(oldest, stream.time(), text)?;
        stream.next += 1;
        stream.advance(pool)?;
    }
}

/// The lines of one log, while workers search ahead.
struct Stream {
    parts: VecDeque<Part>,
    coming: VecDeque<Receiver<io::Result<Found>>>,
    found: Found,
    next: usize,
    last: Option<Tai64n>,
    over: bool,
}

impl Stream {
    fn begin(parts: VecDeque<Part>, pool: &Pool) -> Self {
        let mut stream = Self {
            parts,
            coming: VecDeque::new(),
            found: Found::default(),
            next: 0,
            last: None,
            over: false,
        };
        (0..AHEAD).for_each(|_| stream.ask(pool));
        stream
    }

    fn ask(&mut self, pool: &Pool) {
        if let Some(part) = self.parts.pop_front() {
            self.coming.push_back(pool.ask(part));
        }
    }

    /// Sees to it that there is a next line, unless it is over.
    fn advance(&mut self, pool: &Pool) -> io::Result<()> {
        while self.next >= self.found.len() {
            let Some(coming) = self.coming.pop_front() else {
                self.over = true;
                return Ok(());
            };
            let gone = |_| Err(io::Error::other("a part of the log was not searched"));
            self.found = coming.recv().unwrap_or_else(gone)?;
            self.next = 0;
            self.ask(pool);
        }
        // A line without a time has that of the one before.
        self.last = self.found.line(self.next).0.or(self.last);
        Ok(())
    }

    fn time(&self) -> Option<Tai64n> {
        self.last
    }
}

/// Hands the last `count` lines of all logs that are wanted to `take`, the oldest first.
///
/// # Errors
/// What reading or `take` reports.
pub fn last(
    logs: &[Past],
    wanted: &Wanted,
    count: usize,
    mut take: impl FnMut(usize, Option<Tai64n>, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut lines = vec![];
    for (i, log) in logs.iter().enumerate().filter(|_| count > 0) {
        let mut before = None;
        for (at, text) in log.last(wanted, count)? {
            before = at.or(before);
            lines.push((before, i, text));
        }
    }
    // Stable: each log keeps its order where times are equal.
    lines.sort_by_key(|(at, _, _)| *at);
    for (at, i, text) in lines.iter().skip(lines.len().saturating_sub(count)) {
        take(*i, *at, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    fn label(at: u64) -> String {
        String::from_utf8_lossy(&Tai64n::from(UNIX_EPOCH + Duration::from_secs(at)).label()).into_owned()
    }

    fn log(dir: &Path, name: &str, files: &[(&str, &[(u64, &str)])], since: Option<u64>) -> Past {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        for (file, lines) in files {
            let text: Vec<_> = lines.iter().map(|(at, text)| format!("{} {text}\n", label(*at))).collect();
            fs::write(dir.join(file), text.concat()).unwrap();
        }
        let since = since.map(|at| Tai64n::from(UNIX_EPOCH + Duration::from_secs(at)));
        Past::open(&dir, name, since, true).unwrap()
    }

    fn told(logs: &[Past], wanted: &Wanted, count: Option<usize>) -> Vec<String> {
        let mut told = vec![];
        let take = |i: usize, _, text: &[u8]| {
            told.push(format!("{} {}", logs[i].name, String::from_utf8_lossy(text)));
            Ok(())
        };
        match count {
            None => all(logs, wanted, take).unwrap(),
            Some(count) => last(logs, wanted, count, take).unwrap(),
        }
        told
    }

    #[test]
    fn logs_are_merged_by_time_and_each_keeps_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let old = format!("{}.s", label(3));
        let logs = [
            log(dir.path(), "a", &[(&old, &[(1, "a1"), (5, "a5")]), ("current", &[(3, "a3")])], None),
            log(dir.path(), "b", &[("current", &[(1, "b1"), (4, "b4"), (9, "b9")])], None),
            log(dir.path(), "c", &[], None),
        ];
        let everything = Wanted::default();
        assert_eq!(told(&logs, &everything, None), ["a a1", "b b1", "b b4", "a a5", "a a3", "b b9"]);
        assert_eq!(told(&logs, &everything, Some(2)), ["a a5", "b b9"]);
        assert_eq!(told(&logs, &everything, Some(0)), [""; 0]);
        let only = Wanted::new(None, Some("4"), None).unwrap();
        assert_eq!(told(&logs, &only, None), ["b b4"]);
    }

    #[test]
    fn files_that_ended_before_the_time_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (old, young) = (format!("{}.s", label(10)), format!("{}.s", label(20)));
        let files: &[(&str, &[(u64, &str)])] = &[
            (&old, &[(9, "old")]),
            (&young, &[(12, "less old"), (18, "young")]),
            ("current", &[(21, "now")]),
        ];
        let past = log(dir.path(), "a", files, Some(15));
        assert_eq!(past.files.len(), 2);
        let since = Some(Tai64n::from(UNIX_EPOCH + Duration::from_secs(15)));
        let wanted = Wanted::new(None, None, since).unwrap();
        assert_eq!(told(&[past], &wanted, None), ["a young", "a now"]);
    }
}
