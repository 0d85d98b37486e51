//! Points of time as they are stored: microseconds since 1970, UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC.
pub type Micros = i64;

/// Now.
pub fn now() -> Micros {
    micros(SystemTime::now())
}

/// A point of time as it is stored; what lies before 1970 is 1970.
pub fn micros(time: SystemTime) -> Micros {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

/// The other way round.
pub fn time(micros: Micros) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.max(0).unsigned_abs())
}

/// `20261121-045301.123456`: sorts by time, and can be part of a file's name.
pub fn stamp(micros: Micros) -> String {
    let (seconds, rest) = (micros.max(0) / 1_000_000, micros.max(0) % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}.{rest:06}")
}

/// What [`stamp`] wrote; `None` for anything else.
pub fn parse_stamp(text: &str) -> Option<Micros> {
    let digits = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    if text.len() != 22 || text.get(8..9)? != "-" || text.get(15..16)? != "." {
        return None;
    }
    parts(
        digits(0..4)?,
        digits(4..6)?,
        digits(6..8)?,
        [digits(9..11)?, digits(11..13)?, digits(13..15)?],
        digits(16..22)?,
    )
}

/// The engine's `2026-11-20 19:53:41.107153 UTC` (`dispatched_at`); `None` for anything else.
pub fn parse_dispatched(text: &str) -> Option<Micros> {
    let (date, clock) = text.strip_suffix(" UTC")?.split_once(' ')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let date: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let clock: Vec<i64> = clock.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [h, m, s]) = (date.as_slice(), clock.as_slice()) else { return None };
    if fraction.len() > 6 || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<6}").parse().ok()?;
    parts(*year, *month, *day, [*h, *m, *s], fraction)
}

fn parts(year: i64, month: i64, day: i64, clock: [i64; 3], fraction: i64) -> Option<Micros> {
    let [h, m, s] = clock;
    let good = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&h)
        && (0..60).contains(&m)
        && (0..=60).contains(&s);
    good.then(|| (((days(year, month, day) * 24 + h) * 60 + m) * 60 + s) * 1_000_000 + fraction)
}

/// Year, month and day of a number of days since 1970: proleptic Gregorian calendar, in eras of 400 years that
/// begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The number of days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = (month + 9) % 12;
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stamps_and_the_engines_times_are_read_as_they_are_written() {
        for (micros, text) in [
            (0, "19700101-000000.000000"),
            (951_782_400_000_001, "20000229-000000.000001"),
            (1_795_204_421_107_153, "20261120-195341.107153"),
        ] {
            assert_eq!(stamp(micros), text);
            assert_eq!(parse_stamp(text), Some(micros));
        }
        for (text, micros) in [
            ("2026-11-20 19:53:41.107153 UTC", Some(1_795_204_421_107_153)),
            ("2026-11-20 19:53:41 UTC", Some(1_795_204_421_000_000)),
            ("2026-11-20 19:53:41.5 UTC", Some(1_795_204_421_500_000)),
            ("2026-11-20T19:53:41Z", None),
            ("2026-13-20 19:53:41 UTC", None),
            ("", None),
            ("now", None),
        ] {
            assert_eq!(parse_dispatched(text), micros, "{text}");
        }
        for bad in ["", "20261120-195341", "20261120 195341.107153", "2026112x-195341.107153"] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_stamp_can_be_read_and_sorts_by_time(a in 0..250_000_000_000_000_000i64, b in 0..250_000_000_000_000_000i64) {
            prop_assert_eq!(parse_stamp(&stamp(a)), Some(a));
            prop_assert_eq!(a.cmp(&b), stamp(a).cmp(&stamp(b)));
        }
    }
}
