//! The lines of one log, one after the other, each with its time; goes on where it stopped.

use super::files::{self, Piece};
use super::label;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unix::tai64n::Tai64n;

/// One line without its label and newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its own time, or that of the line before it where it has none.
    pub at: Option<Tai64n>,
    /// Any bytes.
    pub text: Vec<u8>,
}

/// A log that is being read.
pub struct Reader {
    /// Whose it is.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    present: Option<BufReader<File>>,
    coming: VecDeque<Piece>,
    partial: Vec<u8>,
    last: Option<Tai64n>,
}

impl Reader {
    /// Begins with the oldest line.
    ///
    /// # Errors
    /// What opening the files reports; a log that is not there yet is empty.
    pub fn open(dir: &Path, name: String) -> io::Result<Self> {
        let coming = files::after(dir, None)?.into();
        Ok(Self { name, dir: dir.to_owned(), present: None, coming, partial: vec![], last: None })
    }

    /// Goes on in this file, at this place.
    ///
    /// # Errors
    /// What opening the file anew reports.
    pub fn resume(dir: &Path, name: String, end: Option<(Arc<File>, u64)>) -> io::Result<Self> {
        let Some((file, at)) = end else { return Self::open(dir, name) };
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(at))?;
        let (present, coming) = (Some(BufReader::new(file)), VecDeque::new());
        Ok(Self { name, dir: dir.to_owned(), present, coming, partial: vec![], last: None })
    }

    /// Looks for files that have come since.
    ///
    /// # Errors
    /// What opening them reports.
    pub fn refresh(&mut self) -> io::Result<()> {
        let present = self.present.as_ref().map(BufReader::get_ref);
        let newest = self.coming.back().map(|piece| &piece.file).or(present);
        let fresh = files::after(&self.dir, newest)?;
        self.coming.extend(fresh);
        Ok(())
    }

    /// The next line; `None` when there is none yet. A line that is still being written is left for later,
    /// unless this is the `end`.
    ///
    /// # Errors
    /// What reading reports.
    pub fn next(&mut self, end: bool) -> io::Result<Option<Line>> {
        loop {
            if let Some(file) = &mut self.present {
                file.read_until(b'\n', &mut self.partial)?;
            }
            let complete = self.partial.last() == Some(&b'\n');
            if complete {
                self.partial.pop();
            }
            let closed = end || !self.coming.is_empty();
            if complete || (closed && !self.partial.is_empty()) {
                return Ok(Some(self.take_line()));
            }
            match self.coming.pop_front() {
                Some(piece) => self.present = Some(BufReader::new(piece.file)),
                None => return Ok(None),
            }
        }
    }

    fn take_line(&mut self) -> Line {
        let mut text = std::mem::take(&mut self.partial);
        if let Some((at, length)) = label::parse(&text) {
            self.last = Some(at);
            text.drain(..length);
        }
        Line { at: self.last, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    fn all(reader: &mut Reader, end: bool) -> Vec<String> {
        let next = || reader.next(end).unwrap().map(|line| String::from_utf8_lossy(&line.text).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn lines_are_read_on_across_rotations_and_none_twice() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("current");
        let mut reader = Reader::open(dir.path(), "a".to_owned()).unwrap();
        assert!(all(&mut reader, false).is_empty());

        fs::write(&current, "one\ntwo\nthr").unwrap();
        reader.refresh().unwrap();
        assert_eq!(all(&mut reader, false), ["one", "two"]);
        OpenOptions::new().append(true).open(&current).unwrap().write_all(b"ee\nfour\n").unwrap();
        fs::rename(&current, dir.path().join("@400000006553f10a00000001.s")).unwrap();
        fs::write(&current, "five\n").unwrap();
        fs::rename(&current, dir.path().join("@400000006553f10a00000002.s")).unwrap();
        fs::write(&current, "six\nse").unwrap();
        reader.refresh().unwrap();
        assert_eq!(all(&mut reader, false), ["three", "four", "five", "six"]);
        assert_eq!(all(&mut reader, true), ["se"]);
    }

    #[test]
    fn a_line_without_a_label_has_the_time_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"first\n@400000006553f10a075bcd15 x\xff\nbare\n@400000006553f10a075bcd16\n";
        fs::write(dir.path().join("current"), text).unwrap();
        let mut reader = Reader::open(dir.path(), "a".to_owned()).unwrap();
        let lines: Vec<_> = std::iter::from_fn(|| reader.next(true).unwrap()).collect();
        let at = |nanos: &[u8]| Tai64n::from_label(&[b"@400000006553f10a075bcd", nanos].concat());
        let line = |at, text: &[u8]| Line { at, text: text.to_owned() };
        assert_eq!(
            lines,
            [line(None, b"first"), line(at(b"15"), b"x\xff"), line(at(b"15"), b"bare"), line(at(b"16"), b"")]
        );
    }
}
