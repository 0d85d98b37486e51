//! Lines on their way: what of a read goes where.

use crate::sinks::Sinks;
use crate::trouble::Trouble;
use multilog::label::{Label, Stamp};
use multilog::script::{Action, Script};
use multilog::selection::{SEEN, Selection, Tell, Test};
use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

/// As much of a line as goes to standard error.
const ALERT: usize = 200;

/// All outputs of a script.
pub struct Outputs {
    stamp: Option<Stamp>,
    selection: Selection,
    sinks: Sinks,
    /// Whether the end of the present line has not come yet.
    within: bool,
}

impl Outputs {
    /// Opens everything that the script names. Blocks of lines will have at most `block` bytes.
    ///
    /// # Errors
    /// What cannot be opened.
    pub fn open(script: Script, block: usize) -> Result<Self, Trouble> {
        let (mut tests, mut statuses, mut logs) = (vec![], vec![], vec![]);
        for action in script.actions {
            tests.push(match action {
                Action::Deselect(pattern) => Test::Deselect(pattern),
                Action::Select(pattern) => Test::Select(pattern),
                Action::Alert => Test::Alert,
                Action::Status(path) => {
                    statuses.push(path);
                    Test::Status(statuses.len() - 1)
                }
                Action::Log(path, limits) => {
                    logs.push((path, limits));
                    Test::Log(logs.len() - 1)
                }
            });
        }
        let selection = Selection::new(tests, script.stamp, logs.len());
        let sinks = Sinks::open(statuses, logs, script.stamp.map(|_| block))?;
        Ok(Self { stamp: script.stamp, selection, sinks, within: false })
    }

    /// How lines are labelled.
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// How many bytes of a line must be there before it can be said where it goes.
    pub fn decided(&self, label: &Label) -> usize {
        SEEN - label.as_bytes().len()
    }

    /// Takes lines: whole ones, except that the last may lack its end if it is longer than what patterns see, and
    /// the first may be the rest of such a one. Says how many bytes it took. Without labels those must go
    /// through [`drive`](Self::drive), with the same `data`, before more are taken; with labels, when it did not
    /// take all.
    pub fn take(&mut self, data: &[u8], label: &Label) -> usize {
        let mut at = 0;
        if self.within {
            let end = memchr::memchr(b'\n', data).map(|end| end + 1);
            at = end.unwrap_or(data.len());
            self.sinks.go_on(data, 0..at);
            self.within = end.is_none();
        }
        let whole = memchr::memrchr(b'\n', data).map_or(at, |end| end + 1).max(at);
        at = self.lines(&data[..whole], at, label);
        if at == whole && whole < data.len() && self.sinks.have_room(label, data.len() - at) {
            self.line(data, at..data.len(), label);
            self.within = true;
            at = data.len();
        }
        at
    }

    /// Whole lines of `block` from `at` on, as many as there is room for: where the next begins.
    fn lines(&mut self, block: &[u8], mut at: usize, label: &Label) -> usize {
        let mut search = self.selection.search(block);
        let wanted = self.selection.others().contains(&true);
        while at < block.len() {
            let (begin, end) = search.line(at).unwrap_or((block.len(), block.len()));
            if wanted {
                at = self.sinks.add_lines(block, at..begin, label, self.selection.others());
                if at < begin {
                    return at;
                }
            }
            if begin < end {
                if !self.sinks.have_room(label, end - begin) {
                    return begin;
                }
                let selection = &self.selection;
                one_line(selection, &mut self.sinks, block, begin..end, label);
            }
            at = end;
        }
        at
    }

    fn line(&mut self, data: &[u8], range: Range<usize>, label: &Label) {
        one_line(&self.selection, &mut self.sinks, data, range, label);
    }

    /// Writes what was taken of `data`, and does whatever else is due. A time: there was trouble, which was said;
    /// to be called again then, or before.
    pub fn drive(&mut self, data: &[u8], now: impl Fn() -> Duration) -> Option<Duration> {
        self.sinks.drive(data, now)
    }

    /// ALRM: every log is rotated, at a line end.
    pub fn alarm(&mut self) {
        self.sinks.alarm();
    }

    /// The end: every log is finished.
    pub fn end(&mut self) {
        self.sinks.end();
    }

    /// Whether the end of a line is awaited of which the beginning was taken.
    pub fn is_within_a_line(&self) -> bool {
        self.within
    }
}

/// Decides for one line, or the long beginning of one.
fn one_line(selection: &Selection, sinks: &mut Sinks, data: &[u8], range: Range<usize>, label: &Label) {
    let line = sinks.add(data, range, label);
    let (text, logs, statuses) = sinks.parts(data, line.clone());
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let seen = &text[..text.len().min(SEEN)];
    selection.judge(seen, logs, |tell| match tell {
        Tell::Alert => alert(seen),
        Tell::Status(status) => statuses[status].show(seen),
    });
    sinks.give(line);
}

fn alert(text: &[u8]) {
    let mut line = text[..text.len().min(ALERT)].to_vec();
    if text.len() > ALERT {
        line.extend_from_slice(b"...");
    }
    line.push(b'\n');
    // Nobody is left to be alerted when standard error is gone.
    let _ = io::stderr().write_all(&line);
}
