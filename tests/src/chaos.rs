//! What chaos tests share: chance that a seed tells again, how long it goes on, and lines that say which one they are.
//!
//! SKYNET_CHAOS_SECONDS says how long; SKYNET_CHAOS_SEED makes the same choices again, though at other instants.

use std::time::{Duration, SystemTime};

/// Numbers that look like chance and are told by a seed (xorshift64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are to begin differently, and none with nothing.
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.below(2);
        chance
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Whether it happens this time, once in so many.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A time below `ms` milliseconds, to the microsecond.
    pub fn time(&mut self, ms: u64) -> Duration {
        Duration::from_micros(self.below(ms * 1000))
    }

    /// Other numbers, told by the same seed.
    pub fn fork(&mut self) -> Self {
        Self::new(self.below(u64::MAX))
    }

    /// One of these; `None` where there is none.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        (!list.is_empty()).then(|| &list[self.below(list.len() as u64) as usize])
    }
}

/// The seed that SKYNET_CHAOS_SEED names, or one that nobody has had.
pub fn seed() -> u64 {
    let clock =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64);
    number("SKYNET_CHAOS_SEED").unwrap_or_else(clock)
}

/// How long SKYNET_CHAOS_SECONDS says; else so many seconds.
pub fn time(seconds: u64) -> Duration {
    Duration::from_secs(number("SKYNET_CHAOS_SECONDS").unwrap_or(seconds))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Bytes of one log of [`LOG_SCRIPT`].
pub const LOG_SIZE: usize = 40_000;
/// What multilog writes the lines with: labelled, to `main`, and no log is ever thrown away.
pub const LOG_SCRIPT: [&str; 4] = ["t", "s40000", "n1000000", "./main"];

/// A line that says its number at both ends, so that a part of one is no line. Most are short, every 97th is longer
/// than what multilog looks at before it decides.
pub fn line(number: u64) -> String {
    let filling = number * 7919 % 120 + if number.is_multiple_of(97) { 1300 } else { 0 };
    format!("<{number} {} {number}>\n", "x".repeat(filling as usize))
}

/// The number of a whole line, which is given without its newline.
pub fn number_of(line: &str) -> Option<u64> {
    let number = line.strip_prefix('<')?.split(' ').next()?.parse().ok()?;
    (self::line(number).strip_suffix('\n') == Some(line)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_number_and_a_part_of_one_is_none() {
        for number in [0, 1, 9, 97, 12_345] {
            let line = line(number);
            let text = line.trim_end();
            assert_eq!(number_of(text), Some(number));
            for cut in 1..text.len() {
                assert_eq!((number_of(&text[cut..]), number_of(&text[..cut])), (None, None));
            }
        }
        assert_eq!(number_of("<1  2>"), None);
    }
}
