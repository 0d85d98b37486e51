//! A row of the history: a workitem that was handled.

use crate::moment::Micros;
use serde::{Deserialize, Serialize};

/// How a workitem ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The handler's reply was sent.
    #[default]
    Replied,
    /// No reply was wanted.
    Forgotten,
    /// An exception, or a program's error.
    Failed,
    /// Given up as it ended the process too often.
    Crashed,
    /// It took longer than `hard_timeout`.
    Timeout,
    /// It was cancelled.
    Cancelled,
    /// It broke the rules of `[fields]`, or could not be worked on.
    Invalid,
}

/// In the order of their numbers in the table `outcomes`.
pub const OUTCOMES: [Outcome; 7] = [
    Outcome::Replied,
    Outcome::Forgotten,
    Outcome::Failed,
    Outcome::Crashed,
    Outcome::Timeout,
    Outcome::Cancelled,
    Outcome::Invalid,
];

impl Outcome {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::Forgotten => "forgotten",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Invalid => "invalid",
        }
    }

    /// Whether it counts as a problem.
    pub fn is_problem(self) -> bool {
        !matches!(self, Self::Replied | Self::Forgotten)
    }

    pub(crate) fn number(self) -> i64 {
        OUTCOMES.iter().position(|one| *one == self).unwrap_or(0) as i64
    }

    pub(crate) fn from_number(number: i64) -> Self {
        let known = usize::try_from(number).ok().and_then(|n| OUTCOMES.get(n).copied());
        // A later version may know more ways to end.
        known.unwrap_or(Self::Failed)
    }
}

/// A workitem that was handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The participant.
    pub participant: String,
    /// `expid!subid!wfid`.
    pub sid: String,
    /// The process instance.
    pub wfid: String,
    /// The process definition's name.
    pub workflow: String,
    /// When the handler was given it.
    pub started: Micros,
    /// When the handler was done.
    pub ended: Micros,
    /// Microseconds from `dispatched_at` to `started`; `None` where the engine did not say.
    pub wait: Option<Micros>,
    /// How it ended.
    pub outcome: Outcome,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What went wrong, in a line; empty where nothing did.
    pub error: String,
}
