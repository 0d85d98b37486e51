//! Warnings on standard error: at most one line per cause and minute.

use crate::limits;
use crate::plan::Moment;
use nix::errno::Errno;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(60);

/// What was said within the last minute, by cause, and how many lines that spared.
#[derive(Default)]
pub struct Warnings(HashMap<Vec<u8>, (Moment, usize)>);

impl Warnings {
    /// Says `svscan: warning: unable to VERB OBJECT: REASON`. Where the machine lacks something (memory, processes,
    /// descriptors, room) that is the cause, whatever the object; else each object has its own.
    pub fn unable(&mut self, now: Moment, verb: &str, object: &[u8], e: &io::Error) {
        let reason = limits::word(e);
        let space: &[u8] = if object.is_empty() { b"" } else { b" " };
        let cause = if is_want(e) { b"" } else { object };
        let cause = [verb.as_bytes(), b" ", cause, reason.as_bytes()].concat();
        let line = [b"unable to ", verb.as_bytes(), space, object, b": ", reason.as_bytes()].concat();
        self.say(now, cause, &line);
    }

    /// Says a line that is its own cause.
    pub fn tell(&mut self, now: Moment, line: &[u8]) {
        self.say(now, line.to_vec(), line);
    }

    fn say(&mut self, now: Moment, cause: Vec<u8>, line: &[u8]) {
        if let Some(spared) = self.is_news(now, cause) {
            let more =
                if spared > 0 { format!(" ({spared} more since the last such line)") } else { String::new() };
            let line = [b"svscan: warning: ", line, more.as_bytes(), b"\n"].concat();
            // Nobody is left to be told when standard error is gone.
            let _ = io::stderr().write_all(&line);
        }
    }

    /// How many lines of this cause were spared before this one; `None` where this one is to be spared too.
    fn is_news(&mut self, now: Moment, cause: Vec<u8>) -> Option<usize> {
        // Causes of long ago are forgotten, those that were spared a line only after two minutes.
        self.0.retain(|_, (said, spared)| *said + QUIET * (1 + u32::from(*spared > 0)) > now);
        match self.0.get_mut(&cause) {
            Some((said, spared)) if *said + QUIET > now => {
                *spared += 1;
                None
            }
            Some((said, spared)) => {
                *said = now;
                Some(std::mem::take(spared))
            }
            None => {
                self.0.insert(cause, (now, 0));
                Some(0)
            }
        }
    }
}

/// Whether an error says that the machine, or this user, has run out of something.
fn is_want(e: &io::Error) -> bool {
    use Errno::{EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC};
    let errno = e.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| [EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC].contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once_a_minute_and_what_was_spared_is_counted() {
        let mut warnings = Warnings::default();
        let mut say = |second, cause: &str| warnings.is_news(Duration::from_secs(second), cause.into());
        for (now, cause, news) in [
            (0, "a", Some(0)),
            (5, "a", None),
            (6, "b", Some(0)),
            (59, "a", None),
            (60, "a", Some(2)),
            (130, "a", Some(0)),
            (131, "a", None),
            (300, "a", Some(0)),
        ] {
            assert_eq!(say(now, cause), news, "{cause} at {now}");
        }
    }

    #[test]
    fn what_the_machine_lacks_is_one_cause_for_all_services() {
        for (errno, want) in [(Errno::EAGAIN, true), (Errno::ENOENT, false), (Errno::EMFILE, true)] {
            assert_eq!(is_want(&errno.into()), want, "{errno}");
        }
    }
}
