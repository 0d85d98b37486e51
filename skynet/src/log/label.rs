//! The time label before a line: multilog's `t` (TAI64N) or `T` (ISO 8601 in UTC).

use std::time::{Duration, UNIX_EPOCH};
use unix::tai64n::Tai64n;

/// Length of a TAI64N label with the space behind it.
const TAI: usize = 26;
/// `2026-11-21T04:53:01.123456Z` and the space behind it.
const ISO: usize = 28;

/// The label at the start of a line, and how long it is with the space behind it.
pub fn parse(line: &[u8]) -> Option<(Tai64n, usize)> {
    if let Some(at) = Tai64n::from_label(line) {
        return Some((at, TAI.min(line.len())));
    }
    iso(line).map(|at| (at, ISO.min(line.len())))
}

fn iso(line: &[u8]) -> Option<Tai64n> {
    let text = line.get(..ISO - 1)?;
    let shape = |i: usize, c: u8| match i {
        4 | 7 => c == b'-',
        10 => c == b'T',
        13 | 16 => c == b':',
        19 => c == b'.',
        26 => c == b'Z',
        _ => c.is_ascii_digit(),
    };
    if !text.iter().enumerate().all(|(i, c)| shape(i, *c)) {
        return None;
    }
    let number =
        |from: usize, to: usize| text[from..to].iter().fold(0u64, |n, c| n * 10 + u64::from(c - b'0'));
    let days = days(number(0, 4), number(5, 7), number(8, 10))?;
    let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let micros = u32::try_from(number(20, 26)).ok()?;
    Some(Tai64n::from(UNIX_EPOCH + Duration::new(seconds, micros * 1000)))
}

/// Days from 1970 to this date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // Years that begin in March: the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days.checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same_moment() {
        let at = Tai64n::from_label(b"@400000006553f10a075bca00").unwrap();
        for line in [&b"@400000006553f10a075bca00 x"[..], b"2023-11-14T22:13:20.123456Z x"] {
            let (found, length) = parse(line).unwrap();
            assert_eq!((found, &line[length..]), (at, &b"x"[..]));
        }
        for line in [
            &b""[..],
            b"x",
            b"@400000006553f10a075bca0",
            b"2023-11-14T22:13:20.123456 x",
            b"2023-13-14T22:13:20.123456Z ",
        ] {
            assert_eq!(parse(line), None);
        }
        assert_eq!(parse(b"1970-01-01T00:00:00.000000Z").unwrap().0, Tai64n::from(UNIX_EPOCH));
        assert_eq!(
            parse(b"2000-02-29T00:00:00.000000Z").unwrap().0,
            Tai64n::from(UNIX_EPOCH + Duration::from_secs(951_782_400))
        );
    }
}
