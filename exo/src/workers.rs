//! What a session asks of those who do the work, and what they report.

use crate::machine::Id;
pub use air::rpc::workitems::Progress;
use std::collections::BTreeMap;
use workitem::{ErrorInfo, Fei};

/// A workitem to be handled.
#[derive(Debug)]
pub struct Job {
    /// What to call it in the report.
    pub id: Id,
    /// Which workitem.
    pub fei: Fei,
    /// The message as it came.
    pub body: Vec<u8>,
    /// Whether the broker delivered it before.
    pub redelivered: bool,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What the session asks.
#[derive(Debug)]
pub enum Order {
    /// Handle a workitem; answered by one [`Report::Done`].
    Handle(Job),
    /// Stop the work on a workitem; with `force`, without its agreement. Answered by its [`Report::Done`].
    Cancel {
        /// Which.
        id: Id,
        /// Whether by force.
        force: bool,
        /// Who and why.
        reason: String,
    },
    /// What does the handler say of a workitem? Dropped where nobody can say anything.
    Ask {
        /// Which.
        id: Id,
        /// Where to.
        answer: tokio::sync::oneshot::Sender<Result<serde_json::Value, String>>,
    },
    /// The process will be terminated in five seconds.
    Die,
    /// No more work will be given: tidy up and end.
    Stop,
}

/// How a workitem ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a reply: the whole workitem.
    Reply(Vec<u8>),
    /// Without one, as nobody waits for it.
    Forget,
    /// It was cancelled: the reply says so; empty where nobody waits for one.
    Cancelled(Vec<u8>),
    /// With an error.
    Failed {
        /// The workitem as the handler left it; `None` when that is not JSON.
        left: Option<Vec<u8>>,
        /// What the engine is told.
        error: ErrorInfo,
        /// Everything else there is to know: the traceback.
        details: String,
        /// Whether nobody waits for a reply, as the handler sees it; `None` = as the workitem says.
        forget: Option<bool>,
    },
}

/// What the workers tell the session.
pub enum Report {
    /// A workitem is done.
    Done {
        /// Which.
        id: Id,
        /// How it ended.
        outcome: Outcome,
    },
    /// A message of the handler's own, to be sent now.
    Extra {
        /// The workitem to send.
        body: Vec<u8>,
        /// Told when the broker has it.
        confirmed: std::sync::mpsc::Sender<()>,
    },
}

/// Those who do the work. An order never blocks.
pub trait Workers {
    /// Takes an order.
    fn order(&self, order: Order);

    /// How far the work on a workitem is, as it was last told.
    fn progress(&self, _id: Id) -> Option<Progress> {
        None
    }

    /// What they run on, for whoever looks into a failure: names and versions.
    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// Workers on threads that wait for orders on a channel: the Python handler's.
impl Workers for std::sync::mpsc::Sender<Order> {
    fn order(&self, order: Order) {
        // Workers end only after Stop; an order after that has nobody to carry it out.
        let _ = self.send(order);
    }
}
