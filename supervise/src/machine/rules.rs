//! The settings that decide, and the time between two starts.

use servicedir::policy::{Backoff, Codes, Policy, Stop};
use std::time::Duration;

/// Between two starts that an operator asks for. Shorter only where the settings say so.
const SPACING: Duration = Duration::from_secs(1);

/// The part of a service's settings that the machine decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// It says itself when it is ready.
    pub says_ready: bool,
    /// How it is stopped.
    pub stop: Stop,
    /// How long `./finish` may take.
    pub finish_limit: Option<Duration>,
    /// When it is started again.
    pub backoff: Backoff,
    /// Exit codes after which it is finished.
    pub done: Codes,
    /// Exit codes after which it has failed for good.
    pub permanent: Codes,
}

impl Default for Rules {
    fn default() -> Self {
        Self::from(&Policy::default())
    }
}

impl From<&Policy> for Rules {
    fn from(policy: &Policy) -> Self {
        Self {
            says_ready: policy.ready.is_some(),
            stop: policy.stop,
            finish_limit: policy.finish_limit,
            backoff: policy.backoff,
            done: policy.done,
            permanent: policy.permanent,
        }
    }
}

impl Rules {
    /// The least time between two starts when an operator asks for the second.
    pub fn spacing(&self) -> Duration {
        self.backoff.first.min(SPACING)
    }

    /// The time between two starts after so many failures. `chance` is a share, in thousandths.
    pub fn delay(&self, failures: u32, chance: u32) -> Duration {
        let thousandths = |time: Duration, share: u32| time.saturating_mul(share) / 1000;
        let mut delay = self.backoff.first;
        for _ in 1..failures {
            let longer = thousandths(delay, self.backoff.factor);
            if longer <= delay || longer >= self.backoff.max {
                delay = longer.max(delay);
                break;
            }
            delay = longer;
        }
        let delay = delay.min(self.backoff.max).max(self.spacing());
        delay + thousandths(thousandths(delay, self.backoff.jitter), chance.min(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(first: u64, factor: u32, max: u64, jitter: u32) -> Rules {
        let ms = Duration::from_millis;
        let backoff = Backoff { first: ms(first), factor, max: ms(max), jitter, ..Rules::default().backoff };
        Rules { backoff, ..Rules::default() }
    }

    #[test]
    fn the_time_between_two_starts_grows_by_the_factor_up_to_the_most() {
        for (rules, failures, ms) in [
            (Rules::default(), 0, 1000),
            (Rules::default(), 1, 1000),
            (Rules::default(), 1_000_000_000, 1000),
            (rules(1000, 2000, 60_000, 0), 0, 1000),
            (rules(1000, 2000, 60_000, 0), 1, 1000),
            (rules(1000, 2000, 60_000, 0), 2, 2000),
            (rules(1000, 2000, 60_000, 0), 4, 8000),
            (rules(1000, 2000, 60_000, 0), 7, 60_000),
            (rules(1000, 2000, 60_000, 0), u32::MAX, 60_000),
            (rules(100, 1500, 60_000, 0), 3, 225),
            (rules(100, 1000, 60_000, 0), u32::MAX, 100),
        ] {
            assert_eq!(rules.delay(failures, 0).as_millis(), ms, "{rules:?} {failures}");
        }
    }

    #[test]
    fn chance_only_lengthens_it_by_its_share_at_most() {
        let rules = rules(1000, 1000, 1000, 500);
        for (chance, ms) in [(0, 1000), (500, 1250), (1000, 1500), (u32::MAX, 1500)] {
            assert_eq!(rules.delay(1, chance).as_millis(), ms);
        }
    }

    #[test]
    fn an_operator_waits_for_a_second_at_the_most() {
        assert_eq!(Rules::default().spacing(), Duration::from_secs(1));
        assert_eq!(rules(60_000, 1000, 60_000, 0).spacing(), Duration::from_secs(1));
        assert_eq!(rules(100, 1000, 60_000, 0).spacing(), Duration::from_millis(100));
    }
}
