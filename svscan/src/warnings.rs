//! Warnings on standard error: the same line at most once a minute.

use crate::plan::Moment;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Write;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(60);

/// The lines of the last minute.
#[derive(Default)]
pub struct Warnings(HashMap<Vec<u8>, Moment>);

impl Warnings {
    /// Writes `svscan: warning: ` and the parts as one line, unless that was said within the last minute.
    /// Names may be any bytes.
    pub fn say(&mut self, now: Moment, parts: &[&[u8]]) {
        let line = [b"svscan: warning: ", parts.concat().as_slice(), b"\n"].concat();
        if self.is_news(now, &line) {
            // Nobody is left to be told when standard error is gone.
            let _ = std::io::stderr().write_all(&line);
        }
    }

    fn is_news(&mut self, now: Moment, line: &[u8]) -> bool {
        self.0.retain(|_, said| *said + QUIET > now);
        match self.0.entry(line.to_vec()) {
            Entry::Vacant(vacant) => {
                vacant.insert(now);
                true
            }
            Entry::Occupied(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_once_a_minute() {
        let mut warnings = Warnings::default();
        let at = Duration::from_secs;
        for (now, line, news) in
            [(0, "a", true), (5, "a", false), (6, "b", true), (59, "a", false), (60, "a", true)]
        {
            assert_eq!(warnings.is_news(at(now), line.as_bytes()), news, "{line} at {now}");
        }
    }
}
