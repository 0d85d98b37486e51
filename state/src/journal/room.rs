//! A file of the journal that gives way to the next: when it has grown, or when the disk is full.

use super::record::{Digest, Record, parse};
use super::segment::{Place, Segment};
use super::{ARCHIVE, COPIED, Journal, recovery};
use crate::moment;
use std::fs;
use std::io;

impl Journal {
    /// Goes on in a new file, with what is live.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let mut next = self.create()?;
        let moved = self.announce(&mut next).and_then(|()| self.copy_live(&mut next));
        let (Ok(places), Some(mut old)) = (moved, self.segment.take()) else {
            return fs::remove_file(next.path());
        };
        next.begins_here();
        let time = moment::now();
        self.live.retain(|_, live| live.running || live.time > time - recovery::FORGET_AFTER);
        for (digest, place) in places {
            if let Some(live) = self.live.get_mut(&digest) {
                live.place = place;
            }
        }
        // Without this the next process only reads it in vain.
        let _ = old.append(&Record::Moved { time }, &mut self.buffer);
        let path = old.path().to_path_buf();
        self.segment = Some(next);
        self.older.keep(path, old.into_file());
        self.older.prune(ARCHIVE);
        Ok(())
    }

    fn copy_live(&mut self, next: &mut Segment) -> io::Result<Vec<(Digest, Place)>> {
        let Some(old) = &self.segment else { return Ok(vec![]) };
        let mut places = vec![];
        for (digest, live) in &self.live {
            let payload = old.read(live.place)?;
            let mut record = parse(&payload).ok_or(io::ErrorKind::InvalidData)?;
            if let Record::Taken(taken) = &mut record
                && live.place.length > COPIED
            {
                taken.body = b"";
            }
            places.push((*digest, next.append(&record, &mut self.buffer)?));
        }
        Ok(places)
    }

    /// Makes room on a full disk: the older files go. Whether there were any.
    pub(super) fn drop_archive(&mut self) -> io::Result<bool> {
        let any = !self.older.is_empty();
        // It has them open.
        self.archive = None;
        self.older.prune(0);
        Ok(any)
    }

    /// Makes room on a full disk: a file in which nothing is live gives way to a new one. Whether it did.
    pub(super) fn start_over(&mut self) -> io::Result<bool> {
        let Some(old) = self.segment.as_ref().filter(|old| self.live.is_empty() && old.grown() > 0) else {
            return Ok(false);
        };
        fs::remove_file(old.path())?;
        self.segment = None;
        // Where there is no room for a new file either, the next that is made says it.
        self.unwritten.clone_from(&self.passed);
        self.ready()?;
        Ok(true)
    }
}
