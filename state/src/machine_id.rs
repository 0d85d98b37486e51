//! Which boot of the machine and which process: what the owner of a file is known by.

use serde::{Deserialize, Serialize};
use std::fs;

/// A process that outlives no reboot: its pid alone would be somebody else's after a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (field 22 of /proc/PID/stat).
    pub started: u64,
    /// The boot it belongs to (/proc/sys/kernel/random/boot_id).
    pub boot: String,
    /// Its namespace of pids (/proc/self/ns/pid): in another one the number says nothing.
    pub namespace: String,
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or(0), boot: boot(), namespace: namespace() }
    }

    /// Whether it can be told that this process lives no more. From another namespace it cannot.
    pub fn is_gone(&self) -> bool {
        let boot = boot();
        if !boot.is_empty() && self.boot != boot {
            return true;
        }
        self.namespace == namespace() && started(self.pid) != Some(self.started)
    }
}

/// The id of this boot; empty where the kernel does not tell.
pub fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// When a process started; `None` when there is none, or only its grave (state Z).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name, in parentheses, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_after_its_end_and_after_a_reboot() {
        let own = Process::own();
        assert!(own.pid > 0 && own.started > 0 && !own.boot.is_empty());
        assert!(!own.is_gone());
        assert!(Process { boot: "another".into(), ..own.clone() }.is_gone());
        assert!(Process { started: own.started + 1, ..own.clone() }.is_gone(), "the pid is another's now");
        let elsewhere = Process { started: own.started + 1, namespace: "pid:[1]".into(), ..own };
        assert!(!elsewhere.is_gone(), "in another namespace nobody can tell");
    }
}
