//! The flow expression id: which expression of which process a workitem stands for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Flow expression id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fei {
    /// The engine that sent the workitem.
    #[serde(default)]
    pub engine_id: String,
    /// Workflow instance id: the process.
    pub wfid: String,
    /// Which copy of the expression; older senders call it `sub_wfid`.
    #[serde(default, alias = "sub_wfid")]
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

impl fmt::Display for Fei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sid())
    }
}
