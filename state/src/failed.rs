//! The failed store: a folder for each workitem that could not be handled, with all there is to know.
//!
//! ```text
//! failed/20261121-045301.123456-SID/workitem.json   the message as it came, byte for byte
//!                                   reason.txt      one line, then the traceback where there is one
//! ```
//!
//! Made under a dot name and renamed, so that a folder that can be seen is complete. Bounded in number and
//! size: the oldest goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The failed store of one participant.
#[derive(Clone, Debug)]
pub struct FailedStore {
    dir: PathBuf,
    max: usize,
    size: u64,
}

/// What is kept of a failure.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// When, as it sorts: `20261121-045301.123456`.
    pub when: &'a str,
    /// Which workitem, as a name that is safe in a path.
    pub name: &'a str,
    /// The message as it came.
    pub body: &'a [u8],
    /// Why, in a line.
    pub reason: &'a str,
    /// More about it, the traceback; may be empty.
    pub details: &'a str,
}

impl FailedStore {
    /// The store in this state folder; keeps at most `max` entries and about `size` bytes.
    pub fn new(state: &Path, max: usize, size: u64) -> Self {
        Self { dir: state.join("failed"), max: max.max(1), size }
    }

    /// Keeps a failure, and removes the oldest entries that are too many. Returns the new entry and how many
    /// were removed.
    ///
    /// # Errors
    /// What writing reports; then nothing of this failure is kept.
    pub fn keep(&self, failure: Failure<'_>) -> io::Result<(PathBuf, usize)> {
        let name = format!("{}-{}", failure.when, failure.name);
        let (new, place) = (self.dir.join(format!(".new-{name}")), self.dir.join(name));
        fs::create_dir_all(&new)?;
        fs::write(new.join("workitem.json"), failure.body)?;
        fs::write(new.join("reason.txt"), format!("{}\n{}", failure.reason, failure.details))?;
        fs::rename(&new, &place)?;
        Ok((place, self.prune()?))
    }

    fn prune(&self) -> io::Result<usize> {
        let mut entries = vec![];
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                entries.push((weight(&path), path));
            }
        }
        entries.sort_by(|a, b| a.1.cmp(&b.1));
        let mut total: u64 = entries.iter().map(|(weight, _)| weight).sum();
        let mut removed = 0;
        // The newest stays, whatever its size.
        while entries.len() - removed > 1 && (entries.len() - removed > self.max || total > self.size) {
            let (weight, path) = &entries[removed];
            fs::remove_dir_all(path)?;
            total -= weight;
            removed += 1;
        }
        Ok(removed)
    }
}

fn weight(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure<'a>(when: &'a str, body: &'a [u8]) -> Failure<'a> {
        Failure { when, name: "0!s!w", body, reason: "ValueError: boom", details: "Traceback" }
    }

    #[test]
    fn an_entry_holds_the_message_and_the_reason() {
        let state = tempfile::tempdir().unwrap();
        let store = FailedStore::new(state.path(), 10, 1 << 20);
        let (place, removed) = store.keep(failure("1", b"\xff{}")).unwrap();
        assert_eq!(removed, 0);
        assert_eq!(fs::read(place.join("workitem.json")).unwrap(), b"\xff{}");
        assert_eq!(fs::read_to_string(place.join("reason.txt")).unwrap(), "ValueError: boom\nTraceback");
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_or_too_much() {
        for (max, size, kept) in [(2, 1 << 20, 2), (100, 150, 1)] {
            let state = tempfile::tempdir().unwrap();
            let store = FailedStore::new(state.path(), max, size);
            for when in ["1", "2", "3"] {
                store.keep(failure(when, &[b'x'; 100])).unwrap();
            }
            let mut names: Vec<_> = fs::read_dir(state.path().join("failed"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names.len(), kept);
            assert_eq!(names.last().unwrap(), "3-0!s!w");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_reported() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("failed"), "a file in the way").unwrap();
        assert!(FailedStore::new(state.path(), 1, 1).keep(failure("1", b"")).is_err());
    }
}
