//! What is written: one text, labelled if need be, and which pieces of it each log gets.
//!
//! Without labels the text is what was read, and nothing is copied.

use crate::logdir::LogDir;
use crate::status::Status;
use crate::trouble::Trouble;
use multilog::label::Label;
use multilog::pieces::Pieces;
use multilog::script::Limits;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Logs and status files.
pub struct Sinks {
    statuses: Vec<Status>,
    logs: Vec<LogDir>,
    /// What each log gets of the text.
    pieces: Vec<Pieces>,
    /// Which logs get the present line.
    selected: Vec<bool>,
    /// Lines with their labels; `None` where there are no labels.
    labelled: Option<Vec<u8>>,
    /// As many bytes as `labelled` may have.
    room: usize,
}

impl Sinks {
    /// Opens first the status files, as daemontools does, then the logs. With labels: for blocks of so many bytes.
    ///
    /// # Errors
    /// What cannot be opened.
    pub fn open(
        statuses: Vec<PathBuf>,
        logs: Vec<(PathBuf, Limits)>,
        labelled: Option<usize>,
    ) -> Result<Self, Trouble> {
        let statuses: Result<Vec<_>, _> = statuses.iter().map(|path| Status::open(path)).collect();
        let statuses = statuses?;
        let logs: Result<Vec<_>, _> =
            logs.into_iter().map(|(path, limits)| LogDir::open(&path, limits)).collect();
        let logs = logs?;
        // A block of usual lines with their labels; one line and its label fit in any case.
        let room = labelled.map_or(0, |block| block + block / 4);
        Ok(Self {
            statuses,
            pieces: vec![Pieces::default(); logs.len()],
            selected: vec![false; logs.len()],
            logs,
            labelled: labelled.map(|_| Vec::with_capacity(room)),
            room,
        })
    }

    /// Whether there is room for one more line of so many bytes.
    pub fn have_room(&self, label: &Label, line: usize) -> bool {
        let fits = |text: &Vec<u8>| text.len() + label.as_bytes().len() + line <= self.room;
        self.labelled.as_ref().is_none_or(fits) && !self.pieces.iter().any(Pieces::is_full)
    }

    /// Whole lines for these logs, as many as there is room for: where the next begins.
    pub fn add_lines(&mut self, block: &[u8], lines: Range<usize>, label: &Label, logs: &[bool]) -> usize {
        if self.pieces.iter().any(Pieces::is_full) {
            return lines.start;
        }
        let (added, next) = match &mut self.labelled {
            None => (lines.clone(), lines.end),
            Some(text) => {
                let begin = text.len();
                let next = lines.start + add_labelled(text, &block[lines], label.as_bytes(), self.room);
                (begin..text.len(), next)
            }
        };
        give(&mut self.pieces, logs, added);
        next
    }

    /// Adds one line to the text: where it stands in it.
    pub fn add(&mut self, data: &[u8], line: Range<usize>, label: &Label) -> Range<usize> {
        match &mut self.labelled {
            None => line,
            Some(text) => {
                let begin = text.len();
                text.extend_from_slice(label.as_bytes());
                text.extend_from_slice(&data[line]);
                begin..text.len()
            }
        }
    }

    /// A range of the text, which logs get it, and the status files.
    pub fn parts<'a>(
        &'a mut self,
        data: &'a [u8],
        range: Range<usize>,
    ) -> (&'a [u8], &'a mut [bool], &'a mut [Status]) {
        let text = self.labelled.as_deref().unwrap_or(data);
        (&text[range], &mut self.selected, &mut self.statuses)
    }

    /// Gives the line that was added last to the logs that were selected for it.
    pub fn give(&mut self, line: Range<usize>) {
        if let Some(text) = &mut self.labelled
            && !self.selected.contains(&true)
        {
            text.truncate(line.start);
            return;
        }
        give(&mut self.pieces, &self.selected, line);
    }

    /// The rest of a line, for the logs that were given its beginning.
    pub fn go_on(&mut self, data: &[u8], rest: Range<usize>) {
        let rest = match &mut self.labelled {
            None => rest,
            Some(text) => {
                let begin = text.len();
                text.extend_from_slice(&data[rest]);
                begin..text.len()
            }
        };
        give(&mut self.pieces, &self.selected, rest);
    }

    /// Writes all that logs and status files are to have. A time: some could not, and are tried again then.
    pub fn drive(&mut self, data: &[u8], now: impl Fn() -> Duration) -> Option<Duration> {
        let text = self.labelled.as_deref().unwrap_or(data);
        let logs = self.logs.iter_mut().zip(&mut self.pieces);
        let waits = logs.filter_map(|(log, pieces)| log.drive(pieces, text, &now));
        // All are driven, whatever trouble one of them has.
        let first = waits.fold(None, earlier);
        let first = self.statuses.iter_mut().filter_map(|status| status.drive(now())).fold(first, earlier);
        if let (None, Some(text)) = (first, &mut self.labelled) {
            text.clear();
        }
        first
    }

    /// ALRM for every log.
    pub fn alarm(&mut self) {
        self.logs.iter_mut().for_each(LogDir::alarm);
    }

    /// The end of every log.
    pub fn end(&mut self) {
        self.logs.iter_mut().for_each(LogDir::end);
    }
}

fn earlier(first: Option<Duration>, wait: Duration) -> Option<Duration> {
    Some(first.map_or(wait, |first| first.min(wait)))
}

fn give(pieces: &mut [Pieces], logs: &[bool], range: Range<usize>) {
    for (pieces, _) in pieces.iter_mut().zip(logs).filter(|(_, gets)| **gets) {
        pieces.push(range.clone());
    }
}

/// Adds whole lines, each with the label before it, while they fit: how many bytes of `lines` that were.
fn add_labelled(text: &mut Vec<u8>, lines: &[u8], label: &[u8], room: usize) -> usize {
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let line = &lines[begin..=end];
        if text.len() + label.len() + line.len() > room {
            return begin;
        }
        text.extend_from_slice(label);
        text.extend_from_slice(line);
        begin = end + 1;
    }
    begin
}
