//! tai64n: a label before each line.

use unix::tai64n::Tai64n;

/// Labels lines that come in pieces.
#[derive(Debug, Default)]
pub struct Stamper {
    within_line: bool,
}

impl Stamper {
    /// Appends `piece` to `output` with the label of `now` before each line that begins in it. A last line without
    /// newline gets none.
    pub fn stamp(&mut self, mut piece: &[u8], now: Tai64n, output: &mut Vec<u8>) {
        let label = now.label();
        while !piece.is_empty() {
            if !self.within_line {
                output.extend_from_slice(&label);
                output.push(b' ');
            }
            let end = memchr::memchr(b'\n', piece);
            self.within_line = end.is_none();
            let (line, rest) = piece.split_at(end.map_or(piece.len(), |newline| newline + 1));
            output.extend_from_slice(line);
            piece = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn stamped(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut stamper, mut output) = (Stamper::default(), vec![]);
        for piece in pieces {
            stamper.stamp(piece, (UNIX_EPOCH + Duration::from_secs(1_700_000_000)).into(), &mut output);
        }
        output
    }

    #[test]
    fn each_line_gets_a_label_and_a_last_one_without_newline_keeps_none() {
        let label = "@400000006553f10a00000000 ";
        for (pieces, expected) in [
            (&["a\nb\n"][..], "LaN LbN"),
            (&["a", "b\n"], "LabN"),
            (&["a\n", "b"], "LaN Lb"),
            (&["\n\n"], "LN LN"),
            (&[""], ""),
            (&["a\0b\n"], "La\0bN"),
        ] {
            let expected = expected.replace(' ', "").replace('N', "\n").replace('L', label);
            let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(String::from_utf8(stamped(&pieces)).unwrap(), expected, "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn where_reads_end_does_not_matter(text: Vec<u8>, cut: prop::sample::Index) {
            let (a, b) = text.split_at(cut.index(text.len() + 1));
            prop_assert_eq!(stamped(&[a, b]), stamped(&[&text]));
        }
    }
}
