//! What an exo process does now: `live/PID.json`, written by it when something changes, at most once a second.
//!
//! Made under a dot name and renamed, so that a reader sees a whole one. That of a process that has ended says so, or
//! is known by its [`Process`]; the next that starts removes it, and goes on counting where it stopped.

use crate::machine_id::Process;
use crate::moment::Micros;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What an exo process does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The participant.
    pub participant: String,
    /// The host's name.
    pub host: String,
    /// The process.
    pub process: Process,
    /// When it started.
    pub since: Micros,
    /// When this was written.
    pub written: Micros,
    /// The work queue.
    pub queue: String,
    /// `consuming from QUEUE at PLACE`, or `not consuming: WHY`.
    pub state: String,
    /// Whether it takes work.
    pub consuming: bool,
    /// Since when it does, or does not.
    pub consuming_since: Micros,
    /// What handlers have in hand.
    pub in_flight: Vec<InFlight>,
    /// How many workitems this process and those before it have finished without an error.
    pub done: u64,
    /// How many with one.
    pub failed: u64,
    /// It has ended in order.
    pub ended: bool,
    /// Processes whose counts are in these, and whose files may still be there.
    pub took: Vec<Process>,
}

impl Live {
    fn is_over(&self) -> bool {
        self.ended || self.process.is_gone()
    }
}

/// A workitem in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InFlight {
    /// `expid!subid!wfid`.
    pub sid: String,
    /// The process instance.
    pub wfid: String,
    /// Since when.
    pub since: Micros,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// The file of this process.
#[derive(Debug)]
pub struct LiveFile {
    path: PathBuf,
    new: PathBuf,
    /// How many workitems the processes before had finished, without an error and with one.
    pub before: (u64, u64),
}

impl LiveFile {
    /// The file of this process in a state folder, with `own` in it. Takes over from those of processes that have
    /// ended: they go once their counts stand in ours, which says whose they are, so that whoever is killed here loses
    /// none and has none counted twice. One process at a time: others that start meanwhile wait.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(state: &Path, own: &Live) -> io::Result<Self> {
        let dir = state.join("live");
        fs::create_dir_all(&dir)?;
        let turn = File::open(&dir)?;
        turn.lock()?;
        let file = Self::take_over(&dir, own);
        // By a word: a child that a handler forks just now has the descriptor as well, maybe for long.
        let _ = turn.unlock();
        Ok(file)
    }

    fn take_over(dir: &Path, own: &Live) -> Self {
        let pid = std::process::id();
        let (path, new) = (dir.join(format!("{pid}.json")), dir.join(format!(".{pid}.json")));
        let mut file = Self { path, new, before: (0, 0) };
        file.sweep(dir);
        let all = read_files(dir);
        let others =
            |live: &Live| live.took.iter().filter(|p| **p != live.process).cloned().collect::<Vec<_>>();
        let taken: Vec<_> = all.iter().flat_map(|(_, live)| others(live)).collect();
        let over: Vec<_> = all.into_iter().filter(|(_, live)| live.is_over()).collect();
        for (_, live) in over.iter().filter(|(_, live)| !taken.contains(&live.process)) {
            file.before = (file.before.0 + live.done, file.before.1 + live.failed);
        }
        let took: Vec<_> = over.iter().map(|(_, live)| live.process.clone()).collect();
        let (done, failed) = file.before;
        if file.write(&Live { done, failed, took, ..own.clone() }).is_err() {
            // A full disk: theirs stay, for the next that starts.
            file.before = (0, 0);
            return file;
        }
        for (path, _) in over.iter().filter(|(path, _)| *path != file.path) {
            // Whoever may rename here may remove, too.
            let _ = fs::remove_file(path);
        }
        file
    }

    /// Removes what processes that were killed had not finished. One that lives writes it again.
    fn sweep(&self, dir: &Path) {
        let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| is_hidden(path) && *path != self.new) {
            let _ = fs::remove_file(path);
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// What writing reports.
    pub fn write(&self, live: &Live) -> io::Result<()> {
        let text = serde_json::to_vec(live)?;
        loop {
            fs::write(&self.new, &text)?;
            match fs::rename(&self.new, &self.path) {
                // One that starts has swept it away. Where the folder is gone, it cannot be made again either.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                renamed => return renamed,
            }
        }
    }
}

/// What the exo processes of a participant do now, oldest first; without those that are gone.
pub fn read(state: &Path) -> Vec<Live> {
    let mut all: Vec<Live> = read_files(&state.join("live")).into_iter().map(|(_, live)| live).collect();
    all.retain(|live| !live.is_over());
    all.sort_by_key(|live| live.since);
    all
}

fn read_files(dir: &Path) -> Vec<(PathBuf, Live)> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let visible = files.filter(|path| path.extension().is_some_and(|e| e == "json") && !is_hidden(path));
    visible
        .filter_map(|path| Some((path.clone(), serde_json::from_slice(&fs::read(path).ok()?).ok()?)))
        .collect()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_does_can_be_read_while_it_lives_and_no_longer() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path()), []);
        let own = Live { process: Process::own(), since: 5, ..Live::default() };
        let file = LiveFile::open(state.path(), &own).unwrap();
        let in_flight = vec![InFlight { sid: "0!s!w".into(), wfid: "w".into(), since: 7, attempt: 1 }];
        let live = Live { in_flight, done: 3, ..own.clone() };
        file.write(&live).unwrap();
        assert_eq!(read(state.path()), std::slice::from_ref(&live));
        let gone = Live { process: Process { started: 1, ..Process::own() }, failed: 2, ..live.clone() };
        let left = state.path().join("live/1.json");
        fs::write(&left, serde_json::to_vec(&gone).unwrap()).unwrap();
        fs::write(state.path().join("live/2.json"), "{").unwrap();
        assert_eq!(read(state.path()).len(), 1);
        file.write(&Live { ended: true, ..live }).unwrap();
        let second = LiveFile::open(state.path(), &own).unwrap();
        assert!(!left.exists() && second.before == (6, 2), "the next that starts goes on: {second:?}");
        let now = read(state.path());
        assert!(
            now.len() == 1 && (now[0].done, now[0].failed) == (6, 2),
            "at once: it may be killed: {now:?}"
        );
        let third = Live { process: Process { started: 1, ..Process::own() }, ..now[0].clone() };
        second.write(&third).unwrap();
        assert_eq!(LiveFile::open(state.path(), &own).unwrap().before, (6, 2), "each is counted once");
    }

    /// Killed when its counts were taken over, and the file they came from was not removed yet.
    #[test]
    fn counts_that_were_taken_over_are_not_taken_again() {
        let state = tempfile::tempdir().unwrap();
        let gone = |started| Process { pid: 1, started, ..Process::own() };
        let put = |file: &str, live: Live| {
            fs::write(state.path().join("live").join(file), serde_json::to_vec(&live).unwrap()).unwrap();
        };
        fs::create_dir(state.path().join("live")).unwrap();
        put("1.json", Live { process: gone(1), done: 3, failed: 1, ..Live::default() });
        put("2.json", Live { process: gone(2), done: 5, failed: 1, took: vec![gone(1)], ..Live::default() });
        put(".2.json", Live::default());
        let own = Live { process: Process::own(), ..Live::default() };
        assert_eq!(LiveFile::open(state.path(), &own).unwrap().before, (5, 1));
        let left: Vec<_> = fs::read_dir(state.path().join("live")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_one_that_starts_sweeps_away_is_written_again() {
        let state = tempfile::tempdir().unwrap();
        let own = Live { process: Process::own(), ..Live::default() };
        let file = LiveFile::open(state.path(), &own).unwrap();
        let dir = state.path().join("live");
        let other = LiveFile { path: dir.join("1.json"), new: dir.join(".1.json"), before: (0, 0) };
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    other.sweep(&dir);
                }
            });
            let failed = (0..2000).find_map(|done| file.write(&Live { done, ..own.clone() }).err());
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
        fs::remove_dir_all(&dir).unwrap();
        assert!(file.write(&own).is_err());
    }

    /// Of two that start at the same time the second finds what the first has left, however far it came.
    #[test]
    fn counts_are_taken_over_by_one_process_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("live");
        fs::create_dir(&dir).unwrap();
        let gone = |started| Process { pid: 1, started, ..Process::own() };
        let put = |file: &str, live: Live| {
            fs::write(dir.join(file), serde_json::to_vec(&live).unwrap()).unwrap();
        };
        put("1.json", Live { process: gone(1), done: 3, ..Live::default() });
        let turn = File::open(&dir).unwrap();
        turn.lock().unwrap();
        let folder = state.path().to_owned();
        let second = std::thread::spawn(move || {
            let own = Live { process: Process::own(), ..Live::default() };
            LiveFile::open(&folder, &own).unwrap().before
        });
        crate::locks::wait_until_somebody_waits_for(&dir, || second.is_finished());
        put("2.json", Live { process: gone(2), done: 4, ..Live::default() });
        fs::remove_file(dir.join("1.json")).unwrap();
        drop(turn);
        assert_eq!(second.join().unwrap(), (4, 0));
    }
}
