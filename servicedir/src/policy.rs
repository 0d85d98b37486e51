//! The settings of a service as `service-config` writes them for supervise: one `key value` per line, numbers
//! in decimal, times in milliseconds, factors in thousandths.
//!
//! | key | value |
//! |---|---|
//! | `ready` | the descriptor on which the service says that it is ready |
//! | `stop.signal` | number of the signal that asks the service to stop |
//! | `stop.grace` | how long it has before KILL |
//! | `stop.group` | 1: the service has a session of its own, and all its processes are signalled |
//! | `finish.limit` | how long `./finish` may take; 0 = as long as it likes |
//! | `backoff.first`, `backoff.max` | the least and the greatest time between two starts |
//! | `backoff.factor` | what each failure multiplies that time with |
//! | `backoff.jitter` | the share by which chance may lengthen it |
//! | `backoff.reset` | after so long a run the service counts as well |
//! | `exit.done`, `exit.permanent` | an exit code; one line for each |
//! | `limit` | NAME SOFT HARD; `-` = unlimited |
//! | `notify` | a word of the command that is told of problems; one line for each |
//!
//! A key that is not there has the value of daemontools' rules.

use nix::sys::resource::{RLIM_INFINITY, Resource};
use std::fmt::Write;
use std::time::Duration;
use unix::process::Signal;

/// What a service is told to be treated like. The default is what daemontools does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The descriptor on which it says that it is ready; `None`: it is ready when it has been up for a second.
    pub ready: Option<i32>,
    /// How it is stopped.
    pub stop: Stop,
    /// How long `./finish` may take; `None` = as long as it likes.
    pub finish_limit: Option<Duration>,
    /// When it is started again.
    pub backoff: Backoff,
    /// Exit codes after which it is finished and stays down.
    pub done: Codes,
    /// Exit codes after which it has failed for good and stays down.
    pub permanent: Codes,
    /// What its processes may use.
    pub limits: Vec<Limit>,
    /// The command that is told of problems, as words; empty = none.
    pub notify: Vec<String>,
}

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    /// The signal that asks it to.
    pub signal: Signal,
    /// How long it has before KILL; `None` = as long as it likes.
    pub grace: Option<Duration>,
    /// Whether it has a session of its own, and all its processes are signalled.
    pub group: bool,
}

/// When a service is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// Between two starts when all is well.
    pub first: Duration,
    /// What each failure multiplies that with, in thousandths.
    pub factor: u32,
    /// The most it becomes.
    pub max: Duration,
    /// The share by which chance may lengthen it, in thousandths.
    pub jitter: u32,
    /// After so long a run the service counts as well.
    pub reset: Duration,
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub resource: Resource,
    /// What the processes get; [`RLIM_INFINITY`] = unlimited.
    pub soft: u64,
    /// Up to what they may raise it themselves.
    pub hard: u64,
}

/// A set of exit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Codes([u64; 4]);

impl Codes {
    /// Adds a code.
    pub fn add(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    /// Whether a code is in it.
    pub fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] >> (code & 63) & 1 == 1
    }

    /// The codes, from the smallest on.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let codes = *self;
        (0..=u8::MAX).filter(move |code| codes.contains(*code))
    }
}

impl FromIterator<u8> for Codes {
    fn from_iter<T: IntoIterator<Item = u8>>(codes: T) -> Self {
        let mut set = Self::default();
        codes.into_iter().for_each(|code| set.add(code));
        set
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ready: None,
            stop: Stop { signal: Signal::SIGTERM, grace: None, group: false },
            finish_limit: Some(Duration::from_secs(60)),
            backoff: Backoff {
                first: Duration::from_secs(1),
                factor: 1000,
                max: Duration::from_secs(1),
                jitter: 0,
                reset: Duration::from_secs(60),
            },
            done: Codes::default(),
            permanent: Codes::default(),
            limits: vec![],
            notify: vec![],
        }
    }
}

/// The names of the resources that can be limited: those of setrlimit(2), in lower case.
pub const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("locks", Resource::RLIMIT_LOCKS),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nice", Resource::RLIMIT_NICE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rss", Resource::RLIMIT_RSS),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("rttime", Resource::RLIMIT_RTTIME),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

impl Policy {
    /// The lines, without those that say what is the default anyway.
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        let usual = Self::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut line = |key: &str, value: u64, usual: u64| {
            if value != usual {
                // Writing to a string never fails.
                let _ = writeln!(out, "{key} {value}");
            }
        };
        let limit = |time: Option<Duration>| time.map_or(0, ms);
        line("ready", self.ready.map_or(0, |fd| fd.unsigned_abs().into()), 0);
        line("stop.signal", self.stop.signal as u64, usual.stop.signal as u64);
        line("stop.grace", limit(self.stop.grace), 0);
        line("stop.group", self.stop.group.into(), 0);
        line("finish.limit", limit(self.finish_limit), limit(usual.finish_limit));
        line("backoff.first", ms(self.backoff.first), ms(usual.backoff.first));
        line("backoff.factor", self.backoff.factor.into(), usual.backoff.factor.into());
        line("backoff.max", ms(self.backoff.max), ms(usual.backoff.max));
        line("backoff.jitter", self.backoff.jitter.into(), 0);
        line("backoff.reset", ms(self.backoff.reset), ms(usual.backoff.reset));
        self.done.iter().for_each(|code| line("exit.done", code.into(), u64::MAX));
        self.permanent.iter().for_each(|code| line("exit.permanent", code.into(), u64::MAX));
        for limit in &self.limits {
            let name = RESOURCES.iter().find(|(_, r)| *r == limit.resource).map_or("", |(name, _)| *name);
            let _ = writeln!(out, "limit {name} {} {}", bound(limit.soft), bound(limit.hard));
        }
        for word in &self.notify {
            let _ = writeln!(out, "notify {word}");
        }
        out
    }

    /// Reads the lines. `None` where one has no meaning: they come from our own program, so something is
    /// badly wrong.
    pub fn from_lines(text: &str) -> Option<Self> {
        let mut policy = Self::default();
        for line in text.split_terminator('\n') {
            let (key, value) = line.split_once(' ')?;
            policy.set(key, value)?;
        }
        Some(policy)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "notify" => self.notify.push(value.to_owned()),
            "limit" => {
                let mut words = value.split(' ');
                let name = words.next()?;
                let resource = RESOURCES.iter().find(|(known, _)| *known == name)?.1;
                let (soft, hard) = (unbound(words.next()?)?, unbound(words.next()?)?);
                self.limits.push(Limit { resource, soft, hard });
            }
            _ => self.set_number(key, value.parse().ok()?)?,
        }
        Some(())
    }

    fn set_number(&mut self, key: &str, number: u64) -> Option<()> {
        let time = Duration::from_millis(number);
        let limit = (number != 0).then_some(time);
        match key {
            "ready" => self.ready = Some(i32::try_from(number).ok().filter(|fd| *fd > 2)?),
            "stop.signal" => self.stop.signal = Signal::try_from(i32::try_from(number).ok()?).ok()?,
            "stop.grace" => self.stop.grace = limit,
            "stop.group" => self.stop.group = number != 0,
            "finish.limit" => self.finish_limit = limit,
            "backoff.first" => self.backoff.first = time,
            "backoff.factor" => self.backoff.factor = u32::try_from(number).ok()?,
            "backoff.max" => self.backoff.max = time,
            "backoff.jitter" => self.backoff.jitter = u32::try_from(number).ok()?,
            "backoff.reset" => self.backoff.reset = time,
            "exit.done" => self.done.add(u8::try_from(number).ok()?),
            "exit.permanent" => self.permanent.add(u8::try_from(number).ok()?),
            _ => return None,
        }
        Some(())
    }
}

fn bound(limit: u64) -> String {
    if limit == RLIM_INFINITY { "-".into() } else { limit.to_string() }
}

fn unbound(text: &str) -> Option<u64> {
    if text == "-" { Some(RLIM_INFINITY) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd() -> Policy {
        Policy {
            ready: Some(3),
            stop: Stop { signal: Signal::SIGINT, grace: Some(Duration::from_secs(30)), group: true },
            finish_limit: None,
            backoff: Backoff {
                first: Duration::from_millis(100),
                factor: 1500,
                max: Duration::from_secs(300),
                jitter: 200,
                reset: Duration::from_secs(10),
            },
            done: [0, 3].into_iter().collect(),
            permanent: [100, 255].into_iter().collect(),
            limits: vec![
                Limit { resource: Resource::RLIMIT_NOFILE, soft: 1024, hard: RLIM_INFINITY },
                Limit { resource: Resource::RLIMIT_CORE, soft: 0, hard: 0 },
            ],
            notify: vec!["/usr/bin/mail it".into(), "".into(), "a b ".into()],
        }
    }

    #[test]
    fn daemontools_rules_are_no_lines_at_all() {
        assert_eq!(Policy::default().to_lines(), "");
        assert_eq!(Policy::from_lines(""), Some(Policy::default()));
    }

    #[test]
    fn settings_survive_a_round_trip() {
        assert_eq!(Policy::from_lines(&odd().to_lines()), Some(odd()));
    }

    #[test]
    fn lines_without_meaning_are_refused() {
        for text in
            ["nonsense", "nonsense 1", "ready", "ready x", "stop.signal 99", "exit.done 256", "ready 0"]
        {
            assert_eq!(Policy::from_lines(text), None, "{text}");
        }
        for text in ["limit nofile 1", "limit nofiles 1 1", "limit nofile -1 1"] {
            assert_eq!(Policy::from_lines(text), None, "{text}");
        }
    }

    /// Found by fuzzing.
    #[test]
    fn a_word_keeps_the_carriage_return_at_its_end() {
        let policy = Policy { notify: vec!["a\r".into()], ..Policy::default() };
        assert_eq!(Policy::from_lines(&policy.to_lines()), Some(policy));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_settings_or_refused_and_what_is_read_is_written_alike(
            text in "((ready|stop.signal|stop.grace|exit.done|backoff.factor|limit|notify|x) ?[a-z0-9 -]{0,12}\n){0,6}",
        ) {
            if let Some(policy) = Policy::from_lines(&text) {
                proptest::prop_assert_eq!(Policy::from_lines(&policy.to_lines()), Some(policy));
            }
        }
    }
}
