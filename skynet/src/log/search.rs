//! Searching the files of logs, several parts at once, in blocks of whole lines.

use super::wanted::{Found, Wanted};
use memchr::{memchr, memrchr};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How much is read at once: it stays in the processor's cache.
const READ: usize = 256 * 1024;
/// A line longer than this is taken apart.
const LONGEST: usize = 4 << 20;
/// A part where little of it will be found, and where all of it will.
const LARGE: u64 = 8 << 20;
const SMALL: u64 = 512 << 10;

/// A part of a file: the lines that begin in it.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<File>,
    /// Where it begins.
    pub from: u64,
    /// Where it ends; the last line may end behind that.
    pub to: u64,
    /// Where the file ends, as far as anybody looks.
    pub end: u64,
}

/// The parts of a file of this length.
pub fn parts(file: &Arc<File>, length: u64, wanted: &Wanted) -> Vec<Part> {
    let size = if wanted.is_everything() { SMALL } else { LARGE };
    let part = |from: u64| Part { file: Arc::clone(file), from, to: length.min(from + size), end: length };
    (0..length.div_ceil(size)).map(|i| part(i * size)).collect()
}

/// What is wanted of a part.
///
/// # Errors
/// What reading reports.
pub fn search(part: &Part, wanted: &Wanted) -> io::Result<Found> {
    let (mut at, stop) = (line_start(part, part.from)?, line_start(part, part.to)?);
    let mut found = Found::default();
    let mut buffer = vec![0; READ];
    let mut filled = 0;
    while at < stop {
        let room = (buffer.len() - filled).min(usize::try_from(stop - at).unwrap_or(usize::MAX));
        let n = part.file.read_at(&mut buffer[filled..filled + room], at)?;
        if n == 0 {
            // Somebody has cut the file off.
            break;
        }
        at += n as u64;
        filled += n;
        let whole = memrchr(b'\n', &buffer[..filled]).map_or(0, |i| i + 1);
        wanted.find(&buffer[..whole], &mut found);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
        if filled == buffer.len() {
            if filled >= LONGEST {
                wanted.find(&buffer[..filled], &mut found);
                filled = 0;
            } else {
                buffer.resize(buffer.len() * 2, 0);
            }
        }
    }
    wanted.find(&buffer[..filled], &mut found);
    Ok(found)
}

/// Where the first line begins that does not begin before this place. A line that is too long is cut here.
fn line_start(part: &Part, place: u64) -> io::Result<u64> {
    if place == 0 || place >= part.end {
        return Ok(place.min(part.end));
    }
    let mut buffer = [0; 16 * 1024];
    let mut at = place - 1;
    while at < part.end && at - place.min(at) < LONGEST as u64 {
        let n = part.file.read_at(&mut buffer, at)?;
        if let Some(i) = memchr(b'\n', &buffer[..n]) {
            return Ok((at + i as u64 + 1).min(part.end));
        }
        if n == 0 {
            return Ok(part.end);
        }
        at += n as u64;
    }
    Ok(if at >= part.end { part.end } else { place })
}

/// Parts that wait for a worker, each with where to send what is found.
type Waiting = VecDeque<(Part, SyncSender<io::Result<Found>>)>;

/// Workers that search parts in the order in which they are asked for.
#[derive(Default)]
pub struct Pool {
    waiting: Mutex<(Waiting, bool)>,
    more: Condvar,
}

impl Pool {
    /// Asks for a part to be searched.
    pub fn ask(&self, part: Part) -> Receiver<io::Result<Found>> {
        let (sender, found) = sync_channel(1);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).0.push_back((part, sender));
        self.more.notify_one();
        found
    }

    /// Nothing more will be asked for; what nobody has begun with is left.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0.clear();
        waiting.1 = true;
        self.more.notify_all();
    }

    /// A worker's life.
    pub fn work(&self, wanted: &Wanted) {
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (part, sender) = loop {
                match waiting.0.pop_front() {
                    Some(asked) => break asked,
                    None if waiting.1 => return,
                    None => waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(waiting);
            // Nobody waits any more when output has ended.
            let _ = sender.send(search(&part, wanted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_line_belongs_to_one_part_wherever_the_cuts_are() {
        let mut file = tempfile::tempfile().unwrap();
        let lines: Vec<String> = (0..50).map(|i| "x".repeat(i * 7 % 23) + &i.to_string()).collect();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        let length = file.metadata().unwrap().len();
        let file = Arc::new(file);
        let wanted = Wanted::default();
        for size in 1..80 {
            let mut seen = vec![];
            for i in 0..length.div_ceil(size) {
                let part = Part {
                    file: Arc::clone(&file),
                    from: i * size,
                    to: length.min((i + 1) * size),
                    end: length,
                };
                let found = search(&part, &wanted).unwrap();
                seen.extend((0..found.len()).map(|i| String::from_utf8_lossy(found.line(i).1).into_owned()));
            }
            assert_eq!(seen, lines, "parts of {size} bytes");
        }
    }

    #[test]
    fn a_line_without_end_is_taken_apart_and_does_not_fill_the_memory() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'y'; 3 * LONGEST]).unwrap();
        file.write_all(b"\nlast\n").unwrap();
        let length = file.metadata().unwrap().len();
        let part = Part { file: Arc::new(file), from: 0, to: length, end: length };
        let found = search(&part, &Wanted::default()).unwrap();
        assert_eq!(found.line(found.len() - 1).1, b"last");
        assert!(found.len() <= 5, "{}", found.len());
    }
}
