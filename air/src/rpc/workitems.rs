//! The commands about workitems in hand, which every participant serves: by `wfid.W` while it has one of that
//! process in hand, by `participant.NAME`, by `instance.ID`, and by `all`.

use crate::rpc::command::{Command, Described, codes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All commands of this module, for whoever serves or describes them.
pub const COMMANDS: &[Described] = &[Described::of::<Status>(), Described::of::<Cancel>()];

/// Asks for the workitems in hand. Answered within a second, whatever the handler does.
pub struct Status;

impl Command for Status {
    const NAME: &'static str = "status";
    const SINCE: &'static str = "0.1.0";
    const ABOUT: &'static str =
        "the workitems in hand: since when, which attempt, how far, and what the handler says of them";
    const FAULTS: &'static [&'static str] = &[codes::NO_SUCH_WORKITEM];
    type Args = StatusArgs;
    type Out = ParticipantStatus;
}

/// What [`Status`] takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusArgs {
    /// Only workitems of this process. Asked by `wfid.W`, W is the default; else all workitems are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wfid: Option<String>,
    /// Only this workitem (`expid!subid!wfid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// What a participant's process says of itself and its workitems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParticipantStatus {
    /// The participant.
    pub participant: String,
    /// This process among all, as in `instance.ID`.
    pub instance: String,
    /// The host it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Since when the process works, in UTC.
    pub since: String,
    /// The workitems in hand that were asked for.
    pub workitems: Vec<WorkitemStatus>,
}

/// A workitem in hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkitemStatus {
    /// `expid!subid!wfid`.
    pub sid: String,
    /// The process it belongs to.
    pub wfid: String,
    /// `waiting` for a free worker, `running`, or `replying` (the broker does not have the reply yet).
    pub state: String,
    /// Since when it is in that state of being waited for or run, in UTC.
    pub since: String,
    /// The same in milliseconds, by a clock that is not set.
    pub running_ms: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether the broker delivered it before.
    pub redelivered: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// What the handler reported last by `wid.progress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What the handler's `status` says: text or an object. Missing where there is none, or it did not answer in time.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub handler: Value,
    /// Why `handler` is missing although there was somebody to ask: it did not answer in time, or it raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler_trouble: Option<String>,
}

/// How far a workitem is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 1; `None` where the handler gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Cancels workitems in hand: they are answered as cancelled. Answered at once, before the handler has ended.
pub struct Cancel;

impl Command for Cancel {
    const NAME: &'static str = "cancel";
    const SINCE: &'static str = "0.1.0";
    const ABOUT: &'static str = "cancels workitems in hand; with force, ends a handler that does not listen";
    const FAULTS: &'static [&'static str] = &[codes::NO_SUCH_WORKITEM];
    type Args = CancelArgs;
    type Out = Cancelled;
}

/// What [`Cancel`] takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelArgs {
    /// Workitems of this process. Asked by `wfid.W`, W is the default; else this or `sid` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wfid: Option<String>,
    /// Only this workitem (`expid!subid!wfid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Whether an exception is raised inside the handler, or its process is killed.
    #[serde(default)]
    pub force: bool,
    /// Who cancels and why, for the log and the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The participant.
    pub participant: String,
    /// The host it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The workitems, each as `expid!subid!wfid`.
    pub cancelled: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands as the reference shows them.
    fn table() -> String {
        let mut table =
            String::from("| command | what it asks for | its own errors | since |\n|---|---|---|---|\n");
        for Described { name, since, about, faults } in COMMANDS {
            let faults: Vec<_> = faults.iter().map(|fault| format!("`{fault}`")).collect();
            table += &format!("| `{name}` | {about} | {} | {since} |\n", faults.join(", "));
        }
        table
    }

    #[test]
    fn the_reference_lists_the_commands_that_there_are() {
        let page = include_str!("../../../docs/reference/air.md");
        let made =
            page.split_once("when it is not -->\n").and_then(|(_, rest)| rest.split_once("<!-- end -->"));
        assert_eq!(made.unwrap().0, table());
    }
}
