//! The flow expression id: which expression of which process a workitem stands for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Flow expression id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Sent")]
pub struct Fei {
    /// The engine that sent the workitem.
    pub engine_id: String,
    /// Workflow instance id: the process.
    pub wfid: String,
    /// Which copy of the expression; older senders call it `sub_wfid`.
    pub subid: String,
    /// The expression's place in the process definition.
    pub expid: String,
}

impl Fei {
    /// `expid!subid!wfid`, which names a workitem in logs and folders.
    pub fn sid(&self) -> String {
        format!("{}!{}!{}", self.expid, self.subid, self.wfid)
    }
}

/// As engines send it. Older ones have a `sub_wfid`, null in the main process.
#[derive(Deserialize)]
struct Sent {
    engine_id: Option<String>,
    wfid: String,
    subid: Option<String>,
    sub_wfid: Option<String>,
    expid: String,
}

impl From<Sent> for Fei {
    fn from(sent: Sent) -> Self {
        let subid = sent.subid.filter(|subid| !subid.is_empty()).or(sent.sub_wfid);
        let (engine_id, subid) = (sent.engine_id.unwrap_or_default(), subid.unwrap_or_default());
        Self { engine_id, wfid: sent.wfid, subid, expid: sent.expid }
    }
}

impl fmt::Display for Fei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sid())
    }
}
