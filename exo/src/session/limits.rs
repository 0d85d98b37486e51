//! How long a handler may take, and after how much a process makes room for a new one.

use crate::machine::Id;
use config::Settings;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::warn;

/// The broker that has a consumer_timeout.
const RABBITMQ: &str = "RabbitMQ";
/// It takes a delivery back after so long, unless told otherwise: longer work is not waited for either.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The limits of a participant.
pub struct Limits {
    soft: Duration,
    hard: Duration,
    max_workitems: u64,
    max_rss: u64,
    /// When each was given to its handler, and whether it was said that it takes long.
    running: HashMap<Id, (Instant, bool)>,
    /// Why there is to be a new process.
    restart: Option<String>,
    /// It is under way already.
    restarting: bool,
    /// How many handlers were done, and how many of them are looked at.
    done: u64,
    seen: u64,
    warned: bool,
}

impl Limits {
    pub fn new(settings: &Settings) -> Self {
        Self {
            soft: settings.soft_timeout,
            hard: settings.hard_timeout,
            max_workitems: u64::from(settings.max_workitems),
            max_rss: settings.max_rss,
            running: HashMap::new(),
            restart: None,
            restarting: false,
            done: 0,
            seen: 0,
            warned: false,
        }
    }

    /// Says what may surprise later, once, where the broker takes away what takes long.
    pub fn warn(&mut self, product: &str, settings: &Settings) {
        if product == RABBITMQ
            && !std::mem::replace(&mut self.warned, true)
            && (self.hard.is_zero() || self.hard > CONSUMER_TIMEOUT)
        {
            let hard = if self.hard.is_zero() { "not set".into() } else { seconds(self.hard) };
            warn!(
                "{}: hard_timeout is {hard}: RabbitMQ's consumer_timeout (30 minutes unless configured) gives longer work to another while it runs",
                settings.name
            );
        }
    }

    pub fn started(&mut self, id: Id) {
        if !self.soft.is_zero() || !self.hard.is_zero() {
            self.running.insert(id, (Instant::now(), false));
        }
    }

    pub fn ended(&mut self, id: Id) {
        self.running.remove(&id);
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        let of = |(begun, said): &(Instant, bool)| {
            let soft = (!said && !self.soft.is_zero()).then(|| *begun + self.soft);
            let hard = (!self.hard.is_zero()).then(|| *begun + self.hard);
            soft.into_iter().chain(hard).min()
        };
        self.running.values().filter_map(of).min()
    }

    /// Those that are beyond `soft_timeout` and were not told yet.
    pub fn take_soft(&mut self) -> Vec<Id> {
        let soft = self.soft;
        let late = |begun: &Instant| !soft.is_zero() && begun.elapsed() >= soft;
        let mut found = vec![];
        for (id, (_, said)) in self.running.iter_mut().filter(|(_, (begun, said))| !said && late(begun)) {
            *said = true;
            found.push(*id);
        }
        found
    }

    /// One that is beyond `hard_timeout`.
    pub fn take_hard(&mut self) -> Option<Id> {
        let late = |begun: &Instant| !self.hard.is_zero() && begun.elapsed() >= self.hard;
        let id = self.running.iter().find_map(|(id, (begun, _))| late(begun).then_some(*id))?;
        self.running.remove(&id);
        Some(id)
    }

    /// What is said of one that is beyond `soft_timeout`.
    pub fn soft(&self) -> String {
        format!("longer than soft_timeout ({})", seconds(self.soft))
    }

    /// What is said of one that is beyond `hard_timeout`.
    pub fn hard(&self) -> String {
        format!("longer than hard_timeout ({})", seconds(self.hard))
    }

    /// There is to be a new process.
    pub fn restart(&mut self, reason: String) {
        self.restart.get_or_insert(reason);
    }

    /// How long a new process waits for what runs in this one, before the grace begins.
    pub fn patience(&self) -> Duration {
        if self.hard.is_zero() { CONSUMER_TIMEOUT } else { self.hard }
    }

    /// A handler is done.
    pub fn done(&mut self) {
        self.done += 1;
    }

    /// Why there is to be a new process; told once.
    pub fn take_restart(&mut self) -> Option<String> {
        if self.restarting {
            return None;
        }
        let count = self.done;
        if count != self.seen {
            self.seen = count;
            if self.max_workitems > 0 && count >= self.max_workitems {
                self.restart(format!("{count} workitems, as many as max_workitems"));
            }
            if self.max_rss > 0 {
                let rss = rss();
                if rss > self.max_rss {
                    self.restart(format!("{} MiB of memory, more than max_rss", rss >> 20));
                }
            }
        }
        let reason = self.restart.take();
        self.restarting = reason.is_some();
        reason
    }
}

/// `90 s`, `0.5 s`.
fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// The resident memory of this process.
fn rss() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // The kernel's own unit, unless a machine has larger pages: then it is too small, never too large.
    pages * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_asks_for_a_new_process_once() {
        let mut limits = Limits {
            soft: Duration::ZERO,
            hard: Duration::ZERO,
            max_workitems: 2,
            max_rss: 0,
            running: HashMap::new(),
            restart: None,
            restarting: false,
            done: 1,
            seen: 0,
            warned: false,
        };
        assert_eq!(limits.take_restart(), None);
        limits.done();
        assert_eq!(limits.take_restart().as_deref(), Some("2 workitems, as many as max_workitems"));
        limits.done();
        assert_eq!(limits.take_restart(), None);
        limits.started(1);
        assert_eq!(limits.due(), None, "without a timeout nothing is due");
        assert!(rss() > 1 << 20);
        assert_eq!(limits.patience(), CONSUMER_TIMEOUT);
        limits.hard = Duration::from_millis(500);
        assert_eq!(limits.patience(), limits.hard);
        assert_eq!(
            (limits.hard().as_str(), seconds(Duration::from_secs(90)).as_str()),
            ("longer than hard_timeout (0.5 s)", "90 s")
        );
    }
}
