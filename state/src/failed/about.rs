//! What is known of a failure beside the message itself: `about.json`.

use crate::journal::Attempt;
use crate::moment::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a workitem is in the failed store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The handler raised an exception, or the program ended with an error.
    #[default]
    Exception,
    /// The process ended while it had the workitem in hand, too often.
    Crash,
    /// It took longer than `hard_timeout`.
    Timeout,
    /// It broke the rules of `[fields]`.
    Invalid,
    /// The message cannot be worked on: no JSON, no fei, too large.
    Unusable,
}

impl Kind {
    /// The word for people, and in `about.json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
            Self::Unusable => "unusable",
        }
    }
}

/// Who, when, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// When it was kept.
    pub when: Micros,
    /// What kind of failure.
    pub kind: Kind,
    /// Why, in a line: `ValueError: boom`.
    pub reason: String,
    /// The participant.
    pub participant: String,
    /// The queue it came from: where it is put back.
    pub queue: String,
    /// `expid!subid!wfid`; empty where there is no usable fei.
    pub sid: String,
    /// The process instance.
    pub wfid: String,
    /// The process definition's name.
    pub workflow: String,
    /// When the handler was given it.
    pub started: Option<Micros>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// Whether the broker delivered it before.
    pub redelivered: bool,
    /// Whether an error reply was sent to the engine.
    pub answered: bool,
    /// The host's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Of what: `exo`, `python`, the operating system, the handler's file.
    pub versions: BTreeMap<String, String>,
    /// The environment of the process, without secrets.
    pub environment: BTreeMap<String, String>,
}
