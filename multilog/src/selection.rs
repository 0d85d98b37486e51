//! Which lines go where: the script's patterns, made ready for whole blocks of lines.
//!
//! Most lines of most logs are decided by what they do *not* hold: after `-*`, `+*ERROR*` selects no line without
//! `ERROR`. So each pattern's string ([`needs`]) is searched in the whole block at once; lines that hold none of
//! the strings share one outcome, and only the others are matched one by one.

use crate::label::Stamp;
use crate::pattern::{matches, needs};
use memchr::memmem::Finder;

/// As much of a line as patterns see, its label included.
pub const SEEN: usize = 1000;

/// What a line goes through. Status files and logs are known by their number, in the order of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Deselect if this pattern matches.
    Deselect(Vec<u8>),
    /// Select if this pattern matches.
    Select(Vec<u8>),
    /// To standard error.
    Alert,
    /// Into a status file.
    Status(usize),
    /// To a log.
    Log(usize),
}

/// What else than logs gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Standard error.
    Alert,
    /// A status file.
    Status(usize),
}

/// A script's tests, made ready.
#[derive(Debug)]
pub struct Selection {
    tests: Vec<Test>,
    /// The strings that patterns need.
    strings: Vec<Finder<'static>>,
    /// Which logs get the lines that hold none of the strings; `None` where each line must be looked at.
    others: Option<Vec<bool>>,
}

impl Selection {
    /// Of these tests, on lines with such labels, for so many logs.
    pub fn new(tests: Vec<Test>, stamp: Option<Stamp>, logs: usize) -> Self {
        let mut selection = Self { tests, strings: vec![], others: None };
        selection.others = selection.without_strings(stamp, logs);
        selection
    }

    /// The outcome for lines that hold none of the strings, which are collected on the way.
    fn without_strings(&mut self, stamp: Option<Stamp>, logs: usize) -> Option<Vec<bool>> {
        let of_the_label = |c| stamp.is_some_and(|stamp| stamp.may_hold(c));
        let mut outcome = vec![false; logs];
        let mut selected = true;
        for test in &self.tests {
            match test {
                Test::Deselect(pattern) | Test::Select(pattern) => match needs(pattern, of_the_label) {
                    [] if pattern.as_slice() == b"*" => selected = matches!(test, Test::Select(_)),
                    [] => return None,
                    string => self.strings.push(Finder::new(string).into_owned()),
                },
                Test::Log(log) => outcome[*log] = selected,
                Test::Alert | Test::Status(_) if selected => return None,
                Test::Alert | Test::Status(_) => {}
            }
        }
        Some(outcome)
    }

    /// Which logs get the lines that [`Search`] does not stop at.
    pub fn others(&self) -> &[bool] {
        self.others.as_deref().unwrap_or_default()
    }

    /// Decides for one line, of which `seen` is what patterns see: which logs get it, and who else is told.
    pub fn judge(&self, seen: &[u8], logs: &mut [bool], mut tell: impl FnMut(Tell)) {
        let mut selected = true;
        for test in &self.tests {
            match test {
                Test::Deselect(pattern) => selected = selected && !matches(pattern, seen),
                Test::Select(pattern) => selected = selected || matches(pattern, seen),
                Test::Log(log) => logs[*log] = selected,
                Test::Alert if selected => tell(Tell::Alert),
                Test::Status(status) if selected => tell(Tell::Status(*status)),
                Test::Alert | Test::Status(_) => {}
            }
        }
    }

    /// A search for the lines of a block that must be judged.
    pub fn search<'a>(&'a self, block: &'a [u8]) -> Search<'a> {
        Search { selection: self, block, next: vec![None; self.strings.len()] }
    }
}

/// Goes through a block of whole lines.
#[derive(Debug)]
pub struct Search<'a> {
    selection: &'a Selection,
    block: &'a [u8],
    /// Where each string occurs next; the block's length: nowhere any more.
    next: Vec<Option<usize>>,
}

impl Search<'_> {
    /// The first line at or after `from`, itself the beginning of a line, that must be judged: its beginning and
    /// its end, the newline included. Those before it are for [`Selection::others`]. `None`: no more.
    pub fn line(&mut self, from: usize) -> Option<(usize, usize)> {
        let length = self.block.len();
        let found = match self.selection.others {
            None => from,
            Some(_) => self.occurrence(from),
        };
        if found >= length {
            return None;
        }
        let begin = memchr::memrchr(b'\n', &self.block[from..found]).map_or(from, |at| from + at + 1);
        let end = memchr::memchr(b'\n', &self.block[found..]).map_or(length, |at| found + at + 1);
        Some((begin, end))
    }

    fn occurrence(&mut self, from: usize) -> usize {
        let length = self.block.len();
        let strings = self.selection.strings.iter().zip(&mut self.next);
        let occurrences = strings.map(|(string, next)| match next {
            Some(at) if *at >= from => *at,
            _ => *next.insert(string.find(&self.block[from..]).map_or(length, |at| from + at)),
        });
        occurrences.min().unwrap_or(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Which logs get each line of a block, by the shortest way and by judging each line.
    fn both_ways(tests: &[Test], logs: usize, block: &[u8]) -> (Vec<Vec<bool>>, Vec<Vec<bool>>) {
        let selection = Selection::new(tests.to_vec(), None, logs);
        let (mut fast, mut plain) = (vec![], vec![]);
        let (mut search, mut from) = (selection.search(block), 0);
        loop {
            let (begin, end) = search.line(from).unwrap_or((block.len(), block.len()));
            let skipped = block[from..begin].iter().filter(|c| **c == b'\n').count();
            fast.extend((0..skipped).map(|_| selection.others().to_vec()));
            if begin == block.len() {
                break;
            }
            let mut outcome = vec![false; logs];
            selection.judge(&block[begin..end - 1], &mut outcome, |_| {});
            fast.push(outcome);
            from = end;
        }
        for line in block.split_inclusive(|c| *c == b'\n') {
            let mut outcome = vec![false; logs];
            selection.judge(&line[..line.len() - 1], &mut outcome, |_| {});
            plain.push(outcome);
        }
        (fast, plain)
    }

    #[test]
    fn lines_without_any_of_the_strings_are_decided_together() {
        let tests = [Test::Deselect(b"*".to_vec()), Test::Select(b"*ERROR*".to_vec()), Test::Log(0)];
        let selection = Selection::new(tests.to_vec(), Some(Stamp::Tai64n), 1);
        assert_eq!(selection.others(), [false]);
        let block = b"one\ntwo ERROR\nthree\n";
        let mut search = selection.search(block);
        assert_eq!(search.line(0), Some((4, 14)));
        assert_eq!(search.line(14), None);
    }

    #[test]
    fn each_line_is_judged_where_a_pattern_needs_no_string_or_all_are_told() {
        for tests in [
            vec![Test::Deselect(b"a*".to_vec()), Test::Log(0)],
            vec![Test::Alert, Test::Deselect(b"*".to_vec()), Test::Log(0)],
            vec![Test::Status(0)],
        ] {
            let selection = Selection::new(tests, Some(Stamp::Tai64n), 1);
            assert_eq!(selection.search(b"x\n\n").line(0), Some((0, 2)));
            assert_eq!(selection.search(b"x\n\n").line(2), Some((2, 3)));
        }
        let told = vec![Test::Deselect(b"*".to_vec()), Test::Alert, Test::Status(0)];
        assert_eq!(Selection::new(told, None, 0).search(b"x\n").line(0), None);
    }

    fn test() -> impl Strategy<Value = Test> {
        let pattern = || "[ab*]{0,4}".prop_map(String::into_bytes);
        prop_oneof![
            3 => pattern().prop_map(Test::Deselect),
            3 => pattern().prop_map(Test::Select),
            1 => Just(Test::Log(0)),
            1 => Just(Test::Log(1)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_short_way_selects_the_same_lines(
            tests in prop::collection::vec(test(), 0..6),
            lines in prop::collection::vec("[ab*]{0,5}", 0..12),
        ) {
            let block: String = lines.into_iter().map(|line| line + "\n").collect();
            let (fast, plain) = both_ways(&tests, 2, block.as_bytes());
            prop_assert_eq!(fast, plain);
        }
    }
}
