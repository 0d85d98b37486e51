//! Which lines are wanted, and finding them in a block of whole lines.

use super::label;
use memchr::{memchr, memmem, memrchr};
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;
use unix::tai64n::Tai64n;

/// How far back the time of a line without a label is looked for.
const BACK: usize = 64 * 1024;

/// What a line must be like.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    wfid: Option<memmem::Finder<'static>>,
    grep: Option<Regex>,
    since: Option<Tai64n>,
}

/// Lines that were found: their text without labels, one after the other, and where each is.
#[derive(Debug, Default)]
pub struct Found {
    text: Vec<u8>,
    lines: Vec<(Option<Tai64n>, Range<usize>)>,
}

impl Found {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The time and the text of one.
    pub fn line(&self, i: usize) -> (Option<Tai64n>, &[u8]) {
        let (at, place) = &self.lines[i];
        (*at, &self.text[place.clone()])
    }

    fn push(&mut self, at: Option<Tai64n>, text: &[u8]) {
        let from = self.text.len();
        self.text.extend_from_slice(text);
        self.lines.push((at, from..self.text.len()));
    }
}

impl Wanted {
    /// Lines with this wfid, that match this regular expression, not older than this.
    ///
    /// # Errors
    /// What is wrong with the regular expression, in a line.
    pub fn new(wfid: Option<&str>, grep: Option<&str>, since: Option<Tai64n>) -> Result<Self, String> {
        let build = |re: &str| RegexBuilder::new(re).multi_line(true).build();
        let grep = grep.map(build).transpose().map_err(|e| {
            let why = e.to_string();
            why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
        Ok(Self { wfid: wfid.map(|wfid| memmem::Finder::new(wfid).into_owned()), grep, since })
    }

    /// Whether every line is wanted that is not too old.
    pub fn is_everything(&self) -> bool {
        self.wfid.is_none() && self.grep.is_none()
    }

    /// The oldest time that is wanted.
    pub fn since(&self) -> Option<Tai64n> {
        self.since
    }

    /// Whether this line, of this time, is wanted.
    pub fn takes(&self, at: Option<Tai64n>, text: &[u8]) -> bool {
        self.since.is_none_or(|since| at.is_none_or(|at| at >= since))
            && self.wfid.as_ref().is_none_or(|wfid| is_named(wfid, text))
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(text))
    }

    /// Adds to `found` what is wanted of a block of whole lines.
    pub fn find(&self, block: &[u8], found: &mut Found) {
        let mut from = 0;
        while let Some(at) = self.candidate(block, from) {
            let start = memrchr(b'\n', &block[..at]).map_or(0, |i| i + 1);
            let end = memchr(b'\n', &block[at..]).map_or(block.len(), |i| at + i);
            self.look(block, start, end, found);
            from = end + 1;
        }
    }

    /// Where, from this place on, the next line may be that is wanted: a place within it.
    fn candidate(&self, block: &[u8], from: usize) -> Option<usize> {
        let rest = block.get(from..).filter(|rest| !rest.is_empty())?;
        // The whole block is searched at once; what is found is looked at line by line.
        let place = match (&self.wfid, &self.grep) {
            (Some(wfid), _) => wfid.find(rest)?,
            (None, Some(grep)) => grep.find(rest)?.start(),
            (None, None) => 0,
        };
        // A match may begin with the end of the block.
        Some((from + place).min(block.len() - 1))
    }

    fn look(&self, block: &[u8], start: usize, end: usize, found: &mut Found) {
        let line = &block[start..end];
        let (at, text) = match label::parse(line) {
            Some((at, length)) => (Some(at), &line[length..]),
            None => (time_before(&block[..start]), line),
        };
        if self.takes(at, text) {
            found.push(at, text);
        }
    }
}

/// Whether the text names this wfid, and not one of which it is a part only, as w1 is of w10.
fn is_named(wfid: &memmem::Finder, text: &[u8]) -> bool {
    let is_more = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let length = wfid.needle().len();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| wfid.find(rest)) {
        let at = from + found;
        if !is_more(text[..at].last()) && !is_more(text.get(at + length)) {
            return true;
        }
        from = at + 1;
    }
    false
}

/// The time of the last line with a label in this block of whole lines.
fn time_before(block: &[u8]) -> Option<Tai64n> {
    let mut end = block.len();
    let stop = end.saturating_sub(BACK);
    while end > stop {
        let start = memrchr(b'\n', &block[..end - 1]).map_or(0, |i| i + 1);
        if let Some((at, _)) = label::parse(&block[start..end]) {
            return Some(at);
        }
        end = start;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"bare\n@400000006553f10a075bcd15 [wf-1] one\n  two of wf-1\n@400000006553f10b075bcd15 [wf-2] th\xffree\n\n";

    fn texts(wanted: &Wanted) -> Vec<String> {
        let mut found = Found::default();
        wanted.find(BLOCK, &mut found);
        let text = |i| {
            let (at, text) = found.line(i);
            format!("{} {}", at.is_some(), String::from_utf8_lossy(text))
        };
        (0..found.len()).map(text).collect()
    }

    #[test]
    fn lines_are_found_whatever_they_are_searched_by() {
        let since = Tai64n::from_label(b"@400000006553f10b00000000");
        for (wfid, grep, since, lines) in [
            (
                None,
                None,
                None,
                &[
                    "false bare",
                    "true [wf-1] one",
                    "true   two of wf-1",
                    "true [wf-2] th\u{fffd}ree",
                    "true ",
                ][..],
            ),
            (Some("wf-1"), None, None, &["true [wf-1] one", "true   two of wf-1"]),
            (Some("wf-1"), Some("o$"), None, &[]),
            (Some("wf-1"), Some("^.wf|of"), None, &["true [wf-1] one", "true   two of wf-1"]),
            (None, Some("e$"), None, &["false bare", "true [wf-1] one", "true [wf-2] th\u{fffd}ree"]),
            (None, Some(r"one\s+two"), None, &[]),
            (None, Some("^$"), None, &["true "]),
            // The label is no text.
            (Some("40000000"), None, None, &[]),
            (None, Some("^@"), None, &[]),
            (None, None, since, &["false bare", "true [wf-2] th\u{fffd}ree", "true "]),
        ] {
            let wanted = Wanted::new(wfid, grep, since).unwrap();
            assert_eq!(texts(&wanted), lines, "{wfid:?} {grep:?}");
        }
    }

    #[test]
    fn a_wfid_is_not_found_in_another_that_begins_or_ends_with_it() {
        for (text, named) in [
            ("INFO sizer w1: done", true),
            ("w1", true),
            ("0!s!w1", true),
            ("build_w1.log of w1-x", true),
            ("w10 and then w1", true),
            ("{\"wfid\":\"w1\"}", true),
            ("INFO sizer w10: done", false),
            ("neww1: done", false),
            ("w1w1", false),
        ] {
            assert_eq!(
                Wanted::new(Some("w1"), None, None).unwrap().takes(None, text.as_bytes()),
                named,
                "{text}"
            );
        }
        assert!(Wanted::new(Some("1-1"), None, None).unwrap().takes(None, b"x1-1-1"));
    }

    #[test]
    fn a_bad_expression_is_refused_in_a_line() {
        let why = Wanted::new(None, Some("a("), None).unwrap_err();
        assert!(why.contains("unclosed group") && !why.contains('\n'), "{why}");
    }
}
