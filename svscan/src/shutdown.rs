//! The orderly, bounded end, as it is decided. Pure. Services are told to stop; loggers end after them, when their
//! pipe does.

use crate::plan::Moment;
use std::time::Duration;

/// How long the services have to stop before they are killed. Longer than exo's default grace of a minute.
pub const GRACE: Duration = Duration::from_secs(90);
/// How long those that were killed have to be gone before their supervises are killed.
pub const KILLING: Duration = Duration::from_secs(5);
/// How long to wait for the last of all.
pub const LAST: Duration = Duration::from_secs(2);

/// Where the end has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Services were told to stop.
    Stopping {
        /// When they are killed.
        until: Moment,
    },
    /// Services were killed.
    Killing {
        /// When their supervises are.
        until: Moment,
    },
    /// Supervises were killed.
    Abandoning {
        /// When they are left alone.
        until: Moment,
    },
}

/// What to do with those that are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Wait.
    Wait,
    /// Kill the services.
    KillServices,
    /// Kill the supervises.
    KillSupervises,
    /// Leave them alone and end.
    Leave,
}

impl Ending {
    /// The beginning of the end.
    pub fn begin(now: Moment) -> Self {
        Self::Stopping { until: now + GRACE }
    }

    /// What to do now. Somebody may be in a `hurry`; a supervise may have `promised` to kill its service at some
    /// later moment, because the service has a longer grace.
    #[must_use]
    pub fn step(self, now: Moment, hurry: bool, promised: Option<Moment>) -> (Self, Measure) {
        match self {
            Self::Stopping { until } if !hurry && now < until => (self, Measure::Wait),
            Self::Stopping { .. } if !hurry && promised.is_some_and(|promised| promised > now) => {
                (Self::Stopping { until: promised.unwrap_or(now) }, Measure::Wait)
            }
            Self::Stopping { .. } => (Self::Killing { until: now + KILLING }, Measure::KillServices),
            Self::Killing { until } if now < until => (self, Measure::Wait),
            Self::Killing { .. } => (Self::Abandoning { until: now + LAST }, Measure::KillSupervises),
            Self::Abandoning { until } if now < until => (self, Measure::Wait),
            Self::Abandoning { .. } => (self, Measure::Leave),
        }
    }

    /// When to look again at the latest.
    pub fn deadline(self) -> Moment {
        match self {
            Self::Stopping { until } | Self::Killing { until } | Self::Abandoning { until } => until,
        }
    }

    /// Whether anything was killed.
    pub fn has_killed(self) -> bool {
        !matches!(self, Self::Stopping { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn services_are_killed_when_their_time_is_over_or_somebody_is_in_a_hurry() {
        let begun = Ending::begin(Moment::ZERO);
        assert_eq!(begun.step(GRACE - MS, false, None), (begun, Measure::Wait));
        for (now, hurry) in [(GRACE, false), (MS, true)] {
            assert_eq!(
                begun.step(now, hurry, None),
                (Ending::Killing { until: now + KILLING }, Measure::KillServices)
            );
        }
    }

    #[test]
    fn a_longer_grace_is_waited_for_unless_somebody_is_in_a_hurry() {
        let begun = Ending::begin(Moment::ZERO);
        let promised = Some(GRACE * 2);
        assert_eq!(
            begun.step(GRACE, false, promised),
            (Ending::Stopping { until: GRACE * 2 }, Measure::Wait)
        );
        assert_eq!(begun.step(GRACE, true, promised).1, Measure::KillServices);
        assert_eq!(
            Ending::Stopping { until: GRACE * 2 }.step(GRACE * 2, false, promised).1,
            Measure::KillServices
        );
    }

    #[test]
    fn the_end_comes_whatever_does_not_end() {
        let (mut ending, mut now, mut measures) = (Ending::begin(Moment::ZERO), Moment::ZERO, vec![]);
        while measures.last() != Some(&Measure::Leave) {
            now = now.max(ending.deadline());
            let (next, measure) = ending.step(now, false, None);
            (ending, measures) = (next, [measures, vec![measure]].concat());
        }
        assert_eq!(measures, [Measure::KillServices, Measure::KillSupervises, Measure::Leave]);
        assert_eq!(now, GRACE + KILLING + LAST);
    }
}
