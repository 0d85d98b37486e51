//! A file of a journal: records are appended, one write each; a half-written one at the end is not there.

use super::record::{FRAME, Record, frame, parse};
use crate::machine_id::Process;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A file that this process appends to. Locked as long as it is open.
#[derive(Debug)]
pub struct Segment {
    file: File,
    path: PathBuf,
    end: u64,
    /// The end of what was copied into it when it began.
    begin: u64,
    sync: bool,
}

/// Where a record lies: its frame's offset, and its length without the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of its frame, from the beginning of the file.
    pub offset: u64,
    /// Of what follows the frame.
    pub length: u32,
}

impl Segment {
    /// A new file, locked, that begins with its owner.
    pub fn create(path: PathBuf, owner: &Process, sync: bool) -> io::Result<Self> {
        let file = loop {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            file.lock()?;
            // Another instance that met it before the lock has removed it as nobody's.
            if file.metadata()?.nlink() > 0 {
                break file;
            }
        };
        let mut segment = Self { file, path, end: 0, begin: 0, sync };
        let made =
            segment.append(&Record::Header(owner.clone()), &mut vec![]).and_then(|_| segment.sync_folder());
        if let Err(e) = made {
            // Nothing of worth is in it.
            let _ = std::fs::remove_file(&segment.path);
            return Err(e);
        }
        segment.begins_here();
        Ok(segment)
    }

    /// Appends a record; after an error it is not there. `buffer` is room for it, to be used again.
    pub fn append(&mut self, record: &Record<'_>, buffer: &mut Vec<u8>) -> io::Result<Place> {
        buffer.clear();
        record.write(buffer);
        // Not in append mode but at a known place: what an error has left is written over by the next.
        self.file.write_all_at(buffer, self.end)?;
        if self.sync && !matches!(record, Record::Acked { .. }) {
            self.file.sync_data()?;
        }
        let place = Place { offset: self.end, length: (buffer.len() - FRAME) as u32 };
        self.end += buffer.len() as u64;
        Ok(place)
    }

    /// From here on it grows.
    pub fn begins_here(&mut self) {
        self.begin = self.end;
    }

    /// How much was appended since it began.
    pub fn grown(&self) -> u64 {
        self.end - self.begin
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record at a place, without its frame.
    pub fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        read_at(&self.file, place)
    }

    /// The file alone, which keeps the lock.
    pub fn into_file(self) -> File {
        self.file
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(folder) if self.sync => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

/// The record at a place, without its frame.
pub fn read_at(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let mut payload = vec![0; place.length as usize];
    file.read_exact_at(&mut payload, place.offset + FRAME as u64)?;
    Ok(payload)
}

/// Reads the records of a file from an offset on, up to the first that is not whole. Returns where that is: a
/// later call goes on there.
pub fn scan(file: &File, from: u64, mut each: impl FnMut(Place, Record<'_>)) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(64 << 10, file);
    reader.seek(SeekFrom::Start(from))?;
    let (mut offset, mut payload) = (from, vec![]);
    while offset + FRAME as u64 <= length {
        let mut head = [0; FRAME];
        reader.read_exact(&mut head)?;
        let (size, sum) = frame(head);
        if offset + FRAME as u64 + u64::from(size) > length {
            break;
        }
        payload.resize(size as usize, 0);
        reader.read_exact(&mut payload)?;
        let Some(record) = (crc32fast::hash(&payload) == sum).then(|| parse(&payload)).flatten() else {
            break;
        };
        each(Place { offset, length: size }, record);
        offset += FRAME as u64 + u64::from(size);
    }
    Ok(offset)
}
