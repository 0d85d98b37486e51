//! The files of one multilog directory in the order they were written, also while multilog rotates them.
//!
//! `@TAI64N.s` and `@TAI64N.u` are finished files, named after the end of their time; `previous` is one on its
//! way there; `current` is the one being written. A file keeps its inode when it is renamed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use unix::tai64n::Tai64n;

/// How often to look again where files are renamed meanwhile.
const TRIES: u32 = 100;

/// An open file of a log.
#[derive(Debug)]
pub struct Piece {
    /// What it is known by, whatever its name.
    pub inode: u64,
    /// The file, at its beginning.
    pub file: File,
    /// When it was finished; `None` where its name does not say.
    pub ends: Option<Tai64n>,
}

/// Opens all files of the log in `dir` that come after `seen`, one of its files (all, where that is `None` or
/// has been pruned: the oldest go first). A folder that is not there has none.
///
/// # Errors
/// What reading the folder or opening a file reports.
pub fn after(dir: &Path, seen: Option<&File>) -> io::Result<Vec<Piece>> {
    for _ in 0..TRIES {
        let Some(mut pieces) = all(dir)? else { continue };
        let Some(seen) = seen else { return Ok(pieces) };
        let seen = seen.metadata()?;
        if let Some(at) = pieces.iter().position(|piece| piece.inode == seen.ino()) {
            return Ok(pieces.split_off(at + 1));
        }
        if seen.nlink() == 0 {
            return Ok(pieces);
        }
    }
    // It rotates faster than we can look; what there is now is found the next time.
    Ok(vec![])
}

/// All files, oldest first; `None` where they were renamed while we looked.
fn all(dir: &Path) -> io::Result<Option<Vec<Piece>>> {
    // `current` first: if it is rotated while we look it is found again among the others, by its inode.
    let current = open(&dir.join("current"))?;
    let names = finished(dir)?;
    let mut pieces = vec![];
    for name in &names {
        let Some(piece) = open(&dir.join(name))? else { return Ok(None) };
        pieces.push(piece);
    }
    pieces.extend(current);
    let mut known = HashSet::new();
    pieces.retain(|piece| known.insert(piece.inode));
    Ok((finished(dir)? == names).then_some(pieces))
}

/// The names of all files but `current`, oldest first.
fn finished(dir: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(e),
    };
    let mut names = vec![];
    for entry in entries {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b"@") && (bytes.ends_with(b".s") || bytes.ends_with(b".u")) || name == "previous"
        {
            names.push(name);
        }
    }
    // "@…" sorts before "previous".
    names.sort_unstable();
    Ok(names)
}

/// `None` where the file has just been renamed or pruned.
fn open(path: &Path) -> io::Result<Option<Piece>> {
    match File::open(path) {
        Ok(file) if !file.metadata()?.is_file() => {
            Err(io::Error::other(format!("{} is no file", path.display())))
        }
        Ok(file) => {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            Ok(Some(Piece { inode: file.metadata()?.ino(), file, ends: Tai64n::from_label(name) }))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Where the last whole line ends in a file of this length.
///
/// # Errors
/// What reading reports.
pub fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let part = &mut buffer[..(end - start) as usize]; // at most the buffer's length
        file.read_exact_at(part, start)?;
        if let Some(i) = memchr::memrchr(b'\n', part) {
            return Ok(start + i as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn texts(pieces: Vec<Piece>) -> Vec<String> {
        let text = |mut piece: Piece| {
            let mut text = String::new();
            piece.file.read_to_string(&mut text).unwrap();
            text
        };
        pieces.into_iter().map(text).collect()
    }

    #[test]
    fn files_come_in_the_order_they_were_written_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(after(&at("none"), None).unwrap().is_empty());
        for (name, text) in [
            ("current", "4"),
            ("previous", "3"),
            ("@400000006553f10a00000002.u", "2"),
            ("@400000006553f10a00000001.s", "1"),
            ("lock", ""),
            ("state", ""),
            ("processed", "x"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        assert_eq!(texts(after(dir.path(), None).unwrap()), ["1", "2", "3", "4"]);

        let seen = File::open(at("@400000006553f10a00000002.u")).unwrap();
        assert_eq!(texts(after(dir.path(), Some(&seen)).unwrap()), ["3", "4"]);
        fs::hard_link(at("previous"), at("@400000006553f10a00000003.s")).unwrap();
        assert_eq!(texts(after(dir.path(), None).unwrap()), ["1", "2", "3", "4"]);
        let pruned = File::open(at("@400000006553f10a00000001.s")).unwrap();
        fs::remove_file(at("@400000006553f10a00000001.s")).unwrap();
        assert_eq!(texts(after(dir.path(), Some(&pruned)).unwrap()), ["2", "3", "4"]);
    }
}
