//! tai64nlocal: a label at the start of a line as local time; everything else as it is.

use std::io::Write;
use unix::local_time::LocalTime;

/// A label: `@` and so many lower-case hexadecimal digits.
const DIGITS: usize = 24;
/// 2^62 is the label of 1970 TAI; TAI was ten seconds ahead then.
const EPOCH: i128 = (1 << 62) + 10;

/// Converts lines that come in pieces. What may become a label is held back until it is one, or none.
#[derive(Debug, Default)]
pub struct Unstamper {
    state: State,
    /// The last second converted: lines of one second are many.
    last: Option<(i64, Vec<u8>)>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    LineStart,
    /// `@` and the digits so far.
    Label(Vec<u8>),
    Rest,
}

impl Unstamper {
    /// Appends `piece` to `output`, labels converted by `zone`; an empty piece is the end of the input.
    pub fn convert(
        &mut self,
        mut piece: &[u8],
        zone: impl Fn(i64) -> Option<LocalTime>,
        output: &mut Vec<u8>,
    ) {
        if piece.is_empty() {
            self.end_label(&zone, output);
        }
        while let Some(&first) = piece.first() {
            match &mut self.state {
                State::LineStart if first == b'@' => {
                    self.state = State::Label(vec![first]);
                    piece = &piece[1..];
                }
                State::LineStart => self.state = State::Rest,
                State::Label(label) if is_digit(first) && label.len() <= DIGITS => {
                    label.push(first);
                    piece = &piece[1..];
                }
                State::Label(label) => {
                    if is_digit(first) {
                        output.append(label); // too long to be one
                    }
                    self.end_label(&zone, output);
                }
                State::Rest => {
                    let end = memchr::memchr(b'\n', piece);
                    let (line, rest) = piece.split_at(end.map_or(piece.len(), |newline| newline + 1));
                    output.extend_from_slice(line);
                    piece = rest;
                    if end.is_some() {
                        self.state = State::LineStart;
                    }
                }
            }
        }
    }

    /// Appends the label held back: as local time if it is whole and a time, else as it is.
    fn end_label(&mut self, zone: impl Fn(i64) -> Option<LocalTime>, output: &mut Vec<u8>) {
        if let State::Label(label) = std::mem::replace(&mut self.state, State::Rest)
            && self.append_time(&label, zone, output).is_none()
        {
            output.extend_from_slice(&label);
        }
    }

    fn append_time(
        &mut self,
        label: &[u8],
        zone: impl Fn(i64) -> Option<LocalTime>,
        output: &mut Vec<u8>,
    ) -> Option<()> {
        let (second, nanos) = parts(label)?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != second) {
            let t = zone(second).filter(|time| time.year >= 0)?;
            let (year, month, day) = (t.year, t.month, t.day);
            let text = format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", t.hour, t.minute, t.second);
            self.last = Some((second, text.into_bytes()));
        }
        output.extend_from_slice(&self.last.as_ref()?.1);
        write!(output, ".{nanos:09}").ok()
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Seconds since 1970 UTC and nanoseconds of a label; `None` when it is none.
fn parts(label: &[u8]) -> Option<(i64, u32)> {
    let digits = label.strip_prefix(b"@").filter(|digits| digits.len() == DIGITS)?;
    let (seconds, nanos) = str::from_utf8(digits).ok()?.split_at(16);
    let seconds = i128::from(u64::from_str_radix(seconds, 16).ok()?) - EPOCH;
    Some((i64::try_from(seconds).ok()?, u32::from_str_radix(nanos, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A zone in which only the epoch's first thousand seconds exist, all on one day.
    fn zone(second: i64) -> Option<LocalTime> {
        let second = i32::try_from(second).ok().filter(|second| (0..1000).contains(second))?;
        let (minute, second) = (second / 60, second % 60);
        Some(LocalTime { year: 1970, month: 1, day: 1, hour: 0, minute, second })
    }

    fn converted(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut unstamper, mut output) = (Unstamper::default(), vec![]);
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            unstamper.convert(piece, zone, &mut output);
        }
        unstamper.convert(b"", zone, &mut output);
        output
    }

    #[test]
    fn a_label_at_the_start_of_a_line_becomes_a_time_and_nothing_else_does() {
        for (text, expected) in [
            ("@400000000000000a00000005 x\n", "1970-01-01 00:00:00.000000005 x\n"),
            ("@400000000000000a00000005", "1970-01-01 00:00:00.000000005"),
            ("@400000000000000a00000005x\n", "1970-01-01 00:00:00.000000005x\n"),
            ("@400000000000004f3b9ac9ff\n", "1970-01-01 00:01:09.999999999\n"),
            ("@400000000000000a3b9aca00\n", "1970-01-01 00:00:00.1000000000\n"),
            ("a\n@400000000000000a00000005\n", "a\n1970-01-01 00:00:00.000000005\n"),
            ("\n\n", "\n\n"),
            ("@\n@", "@\n@"),
            ("@@400000000000000a00000005\n", "@@400000000000000a00000005\n"),
            (" @400000000000000a00000005\n", " @400000000000000a00000005\n"),
            ("@400000000000000A00000005\n", "@400000000000000A00000005\n"),
            ("@400000000000000a0000000\n", "@400000000000000a0000000\n"),
            ("@400000000000000a000000055\n", "@400000000000000a000000055\n"),
            ("@ffffffffffffffffffffffff\n", "@ffffffffffffffffffffffff\n"),
            ("@000000000000000000000000\n", "@000000000000000000000000\n"),
        ] {
            assert_eq!(String::from_utf8(converted(&[text.as_bytes()])).unwrap(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn where_reads_end_does_not_matter(
            text in "(@(400000000000000[0-9a-f]{1,11})?| |x|\n){0,40}",
            cut: prop::sample::Index,
        ) {
            let (a, b) = text.as_bytes().split_at(cut.index(text.len() + 1));
            prop_assert_eq!(converted(&[a, b]), converted(&[text.as_bytes()]));
        }

        #[test]
        fn what_has_no_label_goes_through(text in "[a-z@ \n]{0,60}") {
            prop_assert_eq!(converted(&[text.as_bytes()]), text.into_bytes());
        }
    }
}
