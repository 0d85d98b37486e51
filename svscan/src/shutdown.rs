//! The orderly, bounded end: services are told to stop, loggers end after them when their pipe does.

use crate::plan::{Moment, Services};
use std::time::Duration;

/// How long the services have to stop before they are killed. Longer than exo's default grace of a minute.
pub const GRACE: Duration = Duration::from_secs(90);

/// Where the end has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Services were told to stop.
    Stopping {
        /// When they are killed.
        until: Moment,
    },
    /// Services were killed.
    Killing,
}

impl Ending {
    /// The beginning of the end.
    pub fn begin(now: Moment) -> Self {
        Self::Stopping { until: now + GRACE }
    }

    /// Whether the services are to be killed now: their time is over, or somebody is in a `hurry`.
    pub fn must_kill(self, now: Moment, hurry: bool) -> bool {
        match self {
            Self::Stopping { until } => hurry || until <= now,
            Self::Killing => false,
        }
    }

    /// When to look again at the latest.
    pub fn deadline(self) -> Option<Moment> {
        match self {
            Self::Stopping { until } => Some(until),
            Self::Killing => None,
        }
    }

    /// The exit code: 0 when all stopped by themselves, 1 when something had to be killed.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Stopping { .. } => 0,
            Self::Killing => 1,
        }
    }
}

/// Whether every supervise has ended.
pub fn is_over(services: &Services) -> bool {
    services.values().all(|service| service.is_idle())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_killed_when_their_time_is_over_or_somebody_is_in_a_hurry() {
        let begun = Ending::begin(Moment::ZERO);
        assert!(!begun.must_kill(GRACE - Duration::from_millis(1), false));
        assert!(begun.must_kill(GRACE, false));
        assert!(begun.must_kill(Moment::ZERO, true));
        assert!(!Ending::Killing.must_kill(GRACE, true));
    }
}
