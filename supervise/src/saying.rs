//! Lines on standard error: the same one at most once a minute.

use crate::machine::Moment;
use std::io::Write;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(60);

/// The causes of the last minute: a service has few.
#[derive(Default)]
pub struct Saying(Vec<(u64, Moment)>);

impl Saying {
    /// Writes a line, unless that was said within the last minute. Names in it may be any bytes.
    pub fn say(&mut self, now: Moment, line: &[u8]) {
        if self.is_news(now, line) {
            // Nobody is left to be told when standard error is gone.
            let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
        }
    }

    fn is_news(&mut self, now: Moment, line: &[u8]) -> bool {
        let cause = fnv(line);
        self.0.retain(|(_, said)| *said + QUIET > now);
        let news = self.0.iter().all(|(known, _)| *known != cause);
        if news {
            self.0.push((cause, now));
        }
        news
    }
}

/// FNV-1a: which line it was, without keeping the line.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_once_a_minute() {
        let mut saying = Saying::default();
        let at = Duration::from_secs;
        for (now, line, news) in
            [(0, "a", true), (5, "a", false), (6, "b", true), (59, "a", false), (60, "a", true)]
        {
            assert_eq!(saying.is_news(at(now), line.as_bytes()), news, "{line} at {now}");
        }
    }
}
