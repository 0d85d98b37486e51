//! What the logs must hold: each line that was written, once, in order, except where a multilog was killed with what
//! it had read and not yet written, and what a service was killed in the middle of.

use super::site::{Part, Site};
use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use tests::chaos::{LOG_SIZE, line, number_of};

/// "at most one read", which is never more than a log holds.
const ONE_READ: usize = LOG_SIZE;
/// Two lines of which only a part is missing.
const TWO_PARTS: usize = 2 * 1450;

/// What is in the logs of a site.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Lines that were written.
    pub written: u64,
    /// Lines that are missing and may be: a killed multilog had read them.
    pub lost: u64,
    /// How many gaps they make.
    pub gaps: usize,
    /// Lines that a killed service may have written or not, and has not.
    pub unwritten: u64,
    /// What must not be.
    pub faults: Vec<String>,
}

impl Verdict {
    /// Adds what is in the logs of another site.
    pub fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.lost += other.lost;
        self.gaps += other.gaps;
        self.unwritten += other.unwritten;
        self.faults.extend_from_slice(&other.faults);
    }
}

/// A line as it stands in a log.
struct Found {
    /// Its number; a piece of a line has none.
    number: Option<u64>,
    text: String,
    /// Which log it is in.
    log: usize,
}

/// Judges the logs of a site whose multilog was killed so often. Nobody writes any more.
pub fn judge(site: &Site, kills: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let logs = site.logs();
    let mut found = vec![];
    for (i, log) in logs.iter().enumerate() {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        read(&text, i, name.ends_with(".u"), &mut found, &mut |fault| {
            verdict.faults.push(format!("{}: {fault} in {name}", site.name));
        });
    }
    let killed: Vec<bool> = logs.iter().map(|log| log.extension().is_some_and(|kind| kind == "u")).collect();
    let present: BTreeSet<u64> = found.iter().filter_map(|found| found.number).collect();
    let doubts = doubts(site, &present);
    verdict.unwritten = doubts.len() as u64;
    let (begun, _) = site.numbers();
    verdict.written = begun - verdict.unwritten;

    // A last line that never was, behind all.
    found.push(Found { number: Some(begun + 1), text: String::new(), log: logs.len() });
    let (mut last, mut last_log, mut pieces) = (0, 0, vec![]);
    for Found { number, text, log } in &found {
        let Some(number) = *number else {
            pieces.push(text);
            continue;
        };
        let mut fault = |what: String| {
            let file = logs.get(*log).map(|log| log.display().to_string()).unwrap_or_default();
            verdict.faults.push(format!("{}: {what} before {number} in {file}", site.name));
        };
        if number <= last {
            fault(format!("{last} comes"));
            continue;
        }
        let missing: Vec<u64> = (last + 1..number).collect();
        for piece in pieces.drain(..) {
            if !missing.iter().any(|number| line(*number).trim_end().contains(piece.as_str())) {
                fault(format!("{piece:?} is no part of a line that is missing"));
            }
        }
        let gone: Vec<u64> = missing.into_iter().filter(|number| !doubts.contains(number)).collect();
        if !gone.is_empty() {
            let bytes: usize = gone.iter().map(|number| line(*number).len()).sum();
            let killed = killed.iter().skip(last_log).take(log - last_log).filter(|killed| **killed).count();
            if bytes > killed * ONE_READ + TWO_PARTS || killed == 0 {
                fault(format!("{} lines, {bytes} bytes are missing ({killed} kills)", gone.len()));
            }
            verdict.lost += gone.len() as u64;
            verdict.gaps += 1;
        }
        (last, last_log) = (number, *log);
    }
    if verdict.gaps > kills {
        verdict.faults.push(format!("{}: {} gaps by {kills} kills", site.name, verdict.gaps));
    }
    verdict
}

/// The lines of a log and their numbers. Only a log whose multilog was killed may end within a line.
fn read(text: &str, log: usize, killed: bool, found: &mut Vec<Found>, fault: &mut impl FnMut(String)) {
    for line in text.split_inclusive('\n') {
        let whole = line.ends_with('\n');
        if !whole && !killed {
            fault(format!("an end within the line {line:?}"));
        }
        let line = line.trim_end_matches('\n');
        let Some(line) = without_label(line) else {
            if whole {
                fault(format!("no label before {line:?}"));
            }
            continue;
        };
        let number = if whole { number_of(line) } else { None };
        if !line.is_empty() {
            found.push(Found { number, text: line.to_owned(), log });
        }
    }
}

fn without_label(line: &str) -> Option<&str> {
    let (label, rest) = line.split_at_checked(26)?;
    let digits = label.strip_prefix('@')?.strip_suffix(' ')?;
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(rest)
}

/// The lines that a service was killed in the middle of: what is not there of a write that did not return. It is
/// written from its beginning on, so what stands before a line that is there was written too.
fn doubts(site: &Site, present: &BTreeSet<u64>) -> BTreeSet<u64> {
    let (begun, done) = site.numbers();
    let writes = site.notes(Part::Service).0.into_iter().map(|start| start.done + 1..=start.begun);
    let rest = |write: RangeInclusive<u64>| {
        let first = present.range(write.clone()).next_back().map_or(*write.start(), |last| last + 1);
        first..=*write.end()
    };
    writes.chain([done + 1..=begun]).filter(|write| !write.is_empty()).flat_map(rest).collect()
}
