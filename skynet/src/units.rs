//! Times and sizes as people read them.

use std::time::{Duration, SystemTime};
use workitem::compose::timestamp;

/// `7s`, `3m 20s`, `2h 5m`, `3d 4h`.
pub fn age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

/// `250µs`, `1.2ms`, `3.4s`, then as [`age`].
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        0.0 => "0s".to_owned(),
        _ if seconds < 0.001 => format!("{:.0}µs", seconds * 1e6),
        _ if seconds < 1.0 => short(seconds * 1e3, "ms"),
        _ if seconds < 60.0 => short(seconds, "s"),
        _ => age(time),
    }
}

fn short(number: f64, unit: &str) -> String {
    let text = if number < 9.95 { format!("{number:.1}") } else { format!("{number:.0}") };
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `512 B`, `1.5 KiB`, `20 MiB`.
pub fn size(bytes: u64) -> String {
    let mut number = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if number < 1000.0 {
            return format!("{} {unit}", short(number, ""));
        }
        number /= 1024.0;
    }
    format!("{} TiB", short(number, ""))
}

/// `1 file`, `2 files`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// ISO 8601 in UTC, to the microsecond.
pub fn iso(at: SystemTime) -> String {
    timestamp(at).replacen(' ', "T", 1).replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_by_its_two_largest_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (7500, "2h 5m"), (273_600, "3d 4h")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_is_told_by_two_digits_and_a_size_too() {
        for (micros, text) in [
            (0, "0s"),
            (250, "250µs"),
            (1_200, "1.2ms"),
            (25_000, "25ms"),
            (999_000, "999ms"),
            (3_440_000, "3.4s"),
            (30_000_000, "30s"),
            (90_000_000, "1m 30s"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        for (bytes, text) in
            [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (20 << 20, "20 MiB"), (3 << 40, "3 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
