//! The last lines of the workitems in hand, so that they outlive a process that is killed in the midst of one.
//!
//! ```text
//! lines/WHEN-PID.0, .1   a line each: MICROSECONDS KEY LEVEL TEXT; when one file is full the other is begun anew
//! lines/WHEN-PID.fault   what was said of a fault (segmentation fault, abort) that ended the process
//! ```
//!
//! Each line is one write(2): it survives `kill -9` without fsync. What cannot be written is not kept; that is no
//! reason for a handler's print to fail.

use crate::moment::{self, Micros};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, TryLockError};

/// When a file has grown by so much the other one is begun.
const HALF: u64 = 256 << 10;
/// A longer text is cut, in bytes.
const LONGEST: usize = 4 << 10;
/// So many lines of a workitem are told at the most, the last.
const LINES: usize = 200;
/// Of a fault, so many bytes.
const FAULT: usize = 32 << 10;
/// The clock that stamps files may lag behind by so much, and more.
const COARSE: Micros = 100_000;
/// The files of so many processes that have ended are kept for the next ones.
const PROCESSES: usize = 16;

/// The lines of this process, and the way to those of processes that have ended.
#[derive(Debug)]
pub struct Lines {
    dir: PathBuf,
    /// `WHEN-PID`
    process: String,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    number: usize,
    grown: u64,
}

/// A line that was kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// When it was written.
    pub time: Micros,
    /// `INFO`, `ERROR` ….
    pub level: String,
    /// What was said.
    pub text: String,
}

impl Lines {
    /// The lines in a state folder. Removes those of processes that ended long ago.
    pub fn new(state: &Path) -> Self {
        Self::of_process(state, moment::now(), std::process::id())
    }

    fn of_process(state: &Path, started: Micros, pid: u32) -> Self {
        let process = format!("{}-{pid}", moment::stamp(started));
        let lines = Self { dir: state.join("lines"), process, open: Mutex::default() };
        lines.tidy();
        lines
    }

    /// Keeps what is said for a workitem. `key` is its name where it is harmless, without blanks.
    pub fn say(&self, key: &str, level: &str, text: &str) {
        let now = moment::now();
        let mut bytes = String::with_capacity(key.len() + text.len() + 32);
        for line in text.split('\n') {
            let cut = cut(line);
            let more = if cut.len() < line.len() { "…" } else { "" };
            bytes.push_str(&format!("{now} {key} {level} {cut}{more}\n"));
        }
        let mut open = match self.open.try_lock() {
            Ok(open) => open,
            Err(TryLockError::Poisoned(open)) => open.into_inner(),
            // Held by a thread that does not exist in a child that was forked meanwhile.
            Err(TryLockError::WouldBlock) => return,
        };
        // The line is in the log all the same.
        let _ = open.write(&self.dir, &self.process, bytes.as_bytes());
    }

    /// The last lines of a workitem that a process was given at that time, oldest first.
    pub fn of(&self, pid: u32, given: Micros, key: &str) -> Vec<Line> {
        let Some(process) = self.process(pid, given) else { return vec![] };
        let mut found = vec![];
        for end in ["0", "1"] {
            let text = fs::read(self.path(&process, end)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            found.extend(text.lines().filter_map(|line| parse(line, key)).filter(|line| line.time >= given));
        }
        found.sort_by_key(|line| line.time);
        found.split_off(found.len().saturating_sub(LINES))
    }

    /// What was said of the fault that ended a process that was given something at that time; empty where none did.
    pub fn fault(&self, pid: u32, given: Micros) -> String {
        // A process may have outlived a fault of before.
        if self.ended(pid, given).is_none_or(|ended| ended < given - COARSE) {
            return String::new();
        }
        let process = self.process(pid, given);
        let text = process.and_then(|process| fs::read(self.path(&process, "fault")).ok());
        let mut text = text.unwrap_or_default();
        text.truncate(FAULT);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// When a process that was given something at that time said of a fault that it ends; `None` where it did not.
    pub fn ended(&self, pid: u32, given: Micros) -> Option<Micros> {
        let file = fs::metadata(self.path(&self.process(pid, given)?, "fault")).ok()?;
        let said = file.modified().ok().filter(|_| file.len() > 0)?;
        Some(moment::micros(said))
    }

    /// Where this process is to say of a fault that ends it.
    ///
    /// # Errors
    /// What making it reports.
    pub fn fault_file(&self) -> io::Result<File> {
        fs::create_dir_all(&self.dir)?;
        File::options().read(true).write(true).create_new(true).open(self.path(&self.process, "fault"))
    }

    /// Says of a fault of our own, which may end this process.
    pub fn say_fault(&self, text: &str) {
        let file = File::options().append(true).create(true).open(self.path(&self.process, "fault"));
        // It is in the log all the same.
        let _ = file.and_then(|mut file| writeln!(file, "{text}"));
    }

    /// The end in order: nobody will ask for the lines of this process.
    pub fn remove(&self) {
        for end in ["0", "1", "fault"] {
            // What stays is removed by a later process.
            let _ = fs::remove_file(self.path(&self.process, end));
        }
    }

    fn path(&self, process: &str, end: &str) -> PathBuf {
        self.dir.join(format!("{process}.{end}"))
    }

    /// The process that had this pid at that time.
    fn process(&self, pid: u32, at: Micros) -> Option<String> {
        let (own, at) = (format!("-{pid}"), moment::stamp(at));
        processes(&self.dir)
            .into_iter()
            .rfind(|process| process.strip_suffix(&own).is_some_and(|when| when <= at.as_str()))
    }

    /// Removes the files of all but the last processes that have ended.
    fn tidy(&self) {
        let lives = |process: &String| {
            process.rsplit_once('-').is_some_and(|(_, pid)| Path::new("/proc").join(pid).exists())
        };
        let mut ended: Vec<_> = processes(&self.dir).into_iter().filter(|process| !lives(process)).collect();
        ended.truncate(ended.len().saturating_sub(PROCESSES));
        for process in ended {
            for end in ["0", "1", "fault"] {
                let _ = fs::remove_file(self.path(&process, end));
            }
        }
    }
}

impl Open {
    fn write(&mut self, dir: &Path, process: &str, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.grown > HALF {
            fs::create_dir_all(dir)?;
            let path = dir.join(format!("{process}.{}", self.number));
            // Appended to by children that a handler forked, too. What is in it is of an earlier time.
            let file = File::options().append(true).create(true).open(path)?;
            file.set_len(0)?;
            // Whatever umask the handler has, on whose thread this is.
            file.set_permissions(Permissions::from_mode(0o644))?;
            (self.file, self.grown, self.number) = (Some(file), 0, 1 - self.number);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        self.grown += bytes.len() as u64;
        file.write_all(bytes)
    }
}

/// The beginning of a line.
fn cut(line: &str) -> &str {
    if line.len() <= LONGEST {
        return line;
    }
    let end = (0..=LONGEST).rfind(|end| line.is_char_boundary(*end)).unwrap_or(0);
    &line[..end]
}

/// A line that belongs to a workitem.
fn parse(line: &str, key: &str) -> Option<Line> {
    let mut parts = line.splitn(4, ' ');
    let time = parts.next()?.parse().ok()?;
    if parts.next()? != key {
        return None;
    }
    Some(Line { time, level: parts.next()?.to_owned(), text: parts.next()?.to_owned() })
}

/// The processes that have files here, as `WHEN-PID`, oldest first.
fn processes(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let process = |name: std::ffi::OsString| {
        let (process, _) = name.to_str()?.rsplit_once('.')?;
        moment::parse_stamp(process.get(..22)?).map(|_| process.to_owned())
    };
    let mut all: Vec<_> = files.filter_map(|file| process(file.file_name())).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond what Linux gives: it lives nowhere.
    const PID: u32 = 1 << 30;

    fn texts(lines: &Lines, key: &str) -> Vec<String> {
        lines.of(PID, 5, key).into_iter().map(|line| line.text).collect()
    }

    fn size(state: &Path) -> (usize, u64) {
        let files: Vec<_> = fs::read_dir(state.join("lines")).unwrap().flatten().collect();
        (files.len(), files.iter().map(|file| file.metadata().unwrap().len()).sum())
    }

    #[test]
    fn the_lines_of_each_workitem_are_its_own_and_can_be_read_by_another_process() {
        let state = tempfile::tempdir().unwrap();
        let lines = Lines::of_process(state.path(), 5, PID);
        assert!(!state.path().join("lines").exists(), "nothing is made before the first line");
        lines.say("a", "INFO", "one\ntwo words");
        lines.say("b", "ERROR", "");
        lines.say("a", "WARN", "three");
        lines.say("a", "INFO", &"ü".repeat(LONGEST));
        let other = Lines::new(state.path());
        assert_eq!(texts(&other, "a")[..3], ["one", "two words", "three"]);
        assert_eq!((texts(&other, "b"), texts(&other, "c").len()), (vec![String::new()], 0));
        assert_eq!(other.of(PID, 5, "a")[2].level, "WARN");
        let last = &texts(&other, "a")[3];
        assert!(last.ends_with("ü…") && last.len() <= LONGEST + 3, "{}", last.len());
        for (pid, given) in [(PID, 4), (PID, moment::now() + 1_000_000), (PID + 1, 5), (7, 5)] {
            assert_eq!(other.of(pid, given, "a"), [], "{pid} {given}");
        }
        lines.remove();
        assert_eq!(size(state.path()), (0, 0));
    }

    #[test]
    fn they_take_a_bounded_room_and_the_last_stay() {
        let state = tempfile::tempdir().unwrap();
        let lines = Lines::of_process(state.path(), 5, PID);
        for n in 0..20_000 {
            lines.say("a", "INFO", &format!("{n} {}", "x".repeat(100)));
        }
        let (files, bytes) = size(state.path());
        assert!(files == 2 && bytes < 2 * (HALF + 1000), "{bytes}");
        let kept = texts(&lines, "a");
        assert_eq!((kept.len(), kept[LINES - 1].split(' ').next()), (LINES, Some("19999")));
    }

    #[test]
    fn of_processes_that_have_ended_the_last_are_kept() {
        let state = tempfile::tempdir().unwrap();
        for started in 0..20 {
            let lines = Lines::of_process(state.path(), started, PID);
            lines.say("a", "INFO", "x");
            lines.fault_file().unwrap().write_all(format!("Fatal {started}").as_bytes()).unwrap();
        }
        let living = Lines::of_process(state.path(), 0, 1);
        living.say("a", "INFO", "x");
        let lines = Lines::new(state.path());
        assert_eq!(size(state.path()).0, 2 * PROCESSES + 1);
        assert_eq!(lines.of(1, 3, "a").len(), 1, "it lives");
        // The one that had the pid then.
        assert_eq!((lines.fault(PID, 17).as_str(), lines.fault(PID, 99).as_str()), ("Fatal 17", "Fatal 19"));
        assert_eq!(lines.fault(PID, 3), "");
        let later = moment::now() + 10_000_000;
        assert_eq!(lines.fault(PID, later), "", "one of before, which it has outlived");
    }

    #[test]
    fn what_cannot_be_written_or_read_is_not_there() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("lines"), "a file in the way").unwrap();
        let lines = Lines::of_process(state.path(), 5, PID);
        lines.say("a", "INFO", "x");
        assert!(lines.fault_file().is_err() && texts(&lines, "a").is_empty());
    }
}
