//! The pieces of a text that one log gets, in order and without copying them.

use std::io::IoSlice;
use std::ops::Range;

/// As many pieces as one system call writes (IOV_MAX).
pub const MOST: usize = 1024;

/// Ranges of a text that stands elsewhere. Those that touch become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    ranges: Vec<Range<usize>>,
    /// The ranges before this one are written.
    first: usize,
    length: usize,
}

impl Pieces {
    /// Adds a range behind all others.
    pub fn push(&mut self, range: Range<usize>) {
        self.length += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => self.ranges.push(range),
        }
    }

    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether there are as many as should be.
    pub fn is_full(&self) -> bool {
        self.ranges.len() >= MOST
    }

    /// How many of the first `limit` bytes there are up to and with the last newline among them.
    pub fn up_to_line_end(&self, text: &[u8], limit: usize) -> Option<usize> {
        let (mut before, mut found) = (0, None);
        for range in self.rest() {
            let part = &text[range.start..range.end.min(range.start + (limit - before))];
            found = memchr::memrchr(b'\n', part).map(|at| before + at + 1).or(found);
            before += part.len();
            if before == limit {
                break;
            }
        }
        found
    }

    /// The first `limit` bytes, as many as one system call takes.
    pub fn slices<'a>(&'a self, text: &'a [u8], limit: usize) -> impl Iterator<Item = IoSlice<'a>> {
        let mut room = limit;
        self.rest().iter().take(MOST).map_while(move |range| {
            let part = &text[range.start..range.end.min(range.start + room)];
            room -= part.len();
            (!part.is_empty()).then(|| IoSlice::new(part))
        })
    }

    /// Takes the first `n` bytes away, which are written, and says whether the last of them was a newline.
    pub fn written(&mut self, text: &[u8], n: usize) -> bool {
        let (mut left, mut last) = (n, None);
        while left > 0 {
            let Some(range) = self.ranges.get_mut(self.first) else { break };
            let part = left.min(range.len());
            last = (part > 0).then(|| text[range.start + part - 1]).or(last);
            range.start += part;
            left -= part;
            self.first += usize::from(range.start == range.end);
        }
        self.length -= n - left;
        if self.length == 0 {
            self.ranges.clear();
            self.first = 0;
        }
        last == Some(b'\n')
    }

    fn rest(&self) -> &[Range<usize>] {
        &self.ranges[self.first..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_that_touch_are_one() {
        let mut pieces = Pieces::default();
        for range in [0..3, 3..5, 5..5, 7..9] {
            pieces.push(range);
        }
        assert_eq!((pieces.rest().len(), pieces.len()), (2, 7));
    }

    proptest! {
        #[test]
        fn pieces_are_written_as_the_text_that_they_are(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 60),
            cuts in prop::collection::btree_set(0_usize..60, 0..20),
            steps in prop::collection::vec(1_usize..20, 1..30),
        ) {
            let cuts: Vec<_> = cuts.into_iter().collect();
            let mut pieces = Pieces::default();
            let mut expected = vec![];
            for pair in cuts.chunks_exact(2) {
                pieces.push(pair[0]..pair[1]);
                expected.extend_from_slice(&text[pair[0]..pair[1]]);
            }
            let mut written = vec![];
            for step in steps.into_iter().cycle() {
                prop_assert_eq!(pieces.len(), expected.len() - written.len());
                if pieces.is_empty() {
                    break;
                }
                let rest = &expected[written.len()..];
                let head = &rest[..step.min(rest.len())];
                let end = memchr::memrchr(b'\n', head).map(|at| at + 1);
                prop_assert_eq!(pieces.up_to_line_end(&text, step), end);
                let slices: Vec<u8> = pieces.slices(&text, step).flat_map(|s| s.to_vec()).collect();
                prop_assert_eq!(&slices, head);
                prop_assert_eq!(pieces.written(&text, head.len()), head.ends_with(b"\n"));
                written.extend(slices);
            }
            prop_assert_eq!(written, expected);
        }
    }
}
