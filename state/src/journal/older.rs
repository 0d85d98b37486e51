//! Older files of the journal, each locked: ours that have grown, and those of processes that ended. They stay as an
//! archive, the oldest go first.

use super::record::Record;
use super::segment::scan;
use crate::moment;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The files and their sizes.
#[derive(Debug, Default)]
pub struct Older {
    files: BTreeMap<PathBuf, (u64, File)>,
}

impl Older {
    /// Keeps a file in which all that is live stands elsewhere.
    pub fn keep(&mut self, path: PathBuf, lock: File) {
        let size = lock.metadata().map_or(0, |meta| meta.len());
        self.files.insert(path, (size, lock));
    }

    /// Keeps the file of a process that ended, and marks it as taken over. Unmarked, it is read again by the next process,
    /// which finds nothing that it does not know.
    pub fn set_aside(&mut self, path: PathBuf, file: File) {
        let _ = mark_moved(&path, &file);
        self.keep(path, file);
    }

    /// Removes the oldest until all together have at most so many bytes.
    pub fn prune(&mut self, most: u64) {
        let mut total: u64 = self.files.values().map(|(size, _)| size).sum();
        while total > most {
            let Some((path, (size, _lock))) = self.files.pop_first() else { return };
            total -= size;
            // One that cannot be removed is met again by the next process.
            let _ = fs::remove_file(path);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Where they lie.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }
}

/// Appends the mark after the last whole record.
fn mark_moved(path: &Path, file: &File) -> io::Result<()> {
    let mut moved = false;
    let end = scan(file, 0, |_, record| moved = matches!(record, Record::Moved { .. }))?;
    if moved {
        return Ok(());
    }
    let mut bytes = vec![];
    Record::Moved { time: moment::now() }.write(&mut bytes);
    let file = File::options().write(true).open(path)?;
    file.write_all_at(&bytes, end)?;
    file.set_len(end + bytes.len() as u64)
}
