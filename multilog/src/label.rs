//! The time label before a line: TAI64N (`t`) or ISO 8601 in UTC (`T`).

use std::time::{SystemTime, UNIX_EPOCH};
use unix::tai64n::Tai64n;

/// How lines are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `t`: `@4000000068ca9d0b0b2d05d4 `
    Tai64n,
    /// `T`: `2026-11-28T05:12:02.123456Z `
    Iso,
}

/// More than the longest label.
const ROOM: usize = 48;

/// One label, the space behind it included.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    text: [u8; ROOM],
    len: usize,
}

impl Stamp {
    /// The label of a moment.
    pub fn label(self, time: SystemTime) -> Label {
        let mut label = Label::NONE;
        match self {
            Self::Tai64n => label.push(&Tai64n::from(time).label()),
            Self::Iso => label.push_iso(time),
        }
        label.push(b" ");
        label
    }

    /// Whether a character can be in a label of this kind, or be the space behind it.
    pub fn may_hold(self, c: u8) -> bool {
        match self {
            Self::Tai64n => matches!(c, b'@' | b'0'..=b'9' | b'a'..=b'f' | b' '),
            Self::Iso => matches!(c, b'0'..=b'9' | b'-' | b':' | b'.' | b'T' | b'Z' | b' '),
        }
    }
}

impl Label {
    /// Where lines have none.
    pub const NONE: Self = Self { text: [b' '; ROOM], len: 0 };

    /// The label as it stands before a line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.text[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_iso(&mut self, time: SystemTime) {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_micros()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
        };
        let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
        self.push(text.as_bytes());
    }
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar. Counts in years that begin
/// on the first of March, so that the day that some of them have more is their last.
fn date(days: i128) -> (i128, i128, i128) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097)); // of 400 years
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i128::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after(seconds: u64, micros: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, micros * 1000)
    }

    #[test]
    fn a_tai64n_label_is_that_of_tai64n_and_a_space() {
        let label = Stamp::Tai64n.label(after(1_700_000_000, 0));
        assert_eq!(label.as_bytes(), b"@400000006553f10a00000000 ");
    }

    #[test]
    fn an_iso_label_is_the_date_and_time_in_utc_with_microseconds() {
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z "),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z "),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z "),
            (951_868_800, 1, "2000-03-01T00:00:00.000001Z "),
            (1_700_000_000, 123_456, "2023-11-14T22:13:20.123456Z "),
            (4_102_444_799, 0, "2099-12-31T23:59:59.000000Z "),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z "),
            (253_402_300_800, 0, "10000-01-01T00:00:00.000000Z "),
        ] {
            let label = Stamp::Iso.label(after(seconds, micros));
            assert_eq!(String::from_utf8_lossy(label.as_bytes()), expected);
        }
        let before = Stamp::Iso.label(UNIX_EPOCH - Duration::from_micros(1));
        assert_eq!(before.as_bytes(), b"1969-12-31T23:59:59.999999Z ");
    }

    #[test]
    fn a_label_holds_only_what_it_may_hold() {
        for stamp in [Stamp::Tai64n, Stamp::Iso] {
            let label = stamp.label(SystemTime::now());
            assert!(label.as_bytes().iter().all(|c| stamp.may_hold(*c)), "{stamp:?}");
        }
    }
}
