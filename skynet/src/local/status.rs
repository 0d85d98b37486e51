//! `skynet local status`: whether the SkyNET of this home runs, and where things are.

use super::broker::{self, Broker};
use super::svscan;
use crate::name::BROKER;
use crate::say::{self, complain, say};
use crate::service::{Condition, Service};
use crate::status::{state, words};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use serde_json::{Value, json};

/// Exit code when it does not run, as systemctl's.
const NOT_RUNNING: u8 = 3;

/// What there is in a home.
struct Found {
    svscan: Option<i32>,
    broker: Option<Broker>,
    embedded: Service,
    participants: usize,
    participants_up: usize,
}

impl Found {
    fn look(tree: &Tree) -> Result<Self, Trouble> {
        let participants = tree.pick(&[])?;
        let services = participants.iter().map(|name| Service::look(&tree.service(name)));
        Ok(Self {
            svscan: tree.home().and_then(|home| svscan::find(&home.join("run"))).map(|svscan| svscan.pid),
            broker: broker::chosen(tree)?,
            embedded: Service::look(&tree.service(BROKER)),
            participants: participants.len(),
            participants_up: services.filter(|one| matches!(one.condition(), Condition::Up(_))).count(),
        })
    }

    fn runs(&self) -> bool {
        self.svscan.is_some()
            && match self.broker {
                None => false,
                Some(Broker::Elsewhere) => true,
                Some(Broker::Embedded(_)) => matches!(self.embedded.condition(), Condition::Up(_)),
            }
    }

    /// The schema stands in docs/reference/json.md.
    fn json(&self, tree: &Tree) -> Value {
        let broker = self.broker.as_ref().map(|broker| match broker {
            Broker::Elsewhere => json!({ "embedded": false, "listen": null, "state": null }),
            Broker::Embedded(settings) => {
                json!({ "embedded": true, "listen": settings.listen, "state": state(&self.embedded) })
            }
        });
        json!({
            "home": tree.home(),
            "up": self.runs(),
            "svscan_pid": self.svscan,
            "svscan_log": svscan::log(tree),
            "broker": broker,
            "participants": self.participants,
            "participants_up": self.participants_up,
            "settings": tree.boss_conf(),
            "services": tree.scan_dir(),
            "logs": tree.logs(),
        })
    }
}

/// Prints the state of the home. Exit code 0 running, 3 not.
pub fn run(tree: &Tree, json: bool) -> Outcome {
    let found = Found::look(tree)?;
    if json {
        say::json(&found.json(tree)).map_err(cannot("write", "the result"))?;
    } else {
        show(tree, &found);
    }
    for lost in svscan::lost(tree).svscans {
        let what = "still runs for a home that was removed here";
        complain!("note: svscan (pid {}) {what}: skynet local down stops it", lost.pid);
    }
    Ok(if found.runs() { 0 } else { NOT_RUNNING })
}

/// Prints it as JSON, with what the command that asks has to add.
///
/// # Errors
/// What reading the home or writing reports.
pub fn print_json(tree: &Tree, key: &str, value: &Value) -> Result<(), Trouble> {
    let mut told = Found::look(tree)?.json(tree);
    told[key] = value.clone();
    say::json(&told).map_err(cannot("write", "the result"))
}

fn show(tree: &Tree, found: &Found) {
    say!("SkyNET in {} is {}", super::up::place(tree), if found.svscan.is_some() { "up" } else { "down" });
    match found.svscan {
        Some(pid) => say!("  svscan        pid {pid}"),
        None => say!("  svscan        not running (start it with: skynet local up)"),
    }
    match &found.broker {
        None => {}
        Some(Broker::Elsewhere) => {
            say!("  broker        not ours: the one that {} names", tree.boss_conf().display());
        }
        Some(Broker::Embedded(settings)) if found.svscan.is_none() && !found.embedded.is_alive() => {
            say!("  broker        down (skynet local up starts it, too; on {})", settings.listen);
        }
        Some(Broker::Embedded(settings)) => {
            let idle = matches!(found.embedded.condition(), Condition::Down | Condition::Unsupervised);
            let next = if idle { " (skynet local up starts it)" } else { "" };
            say!("  broker        {} on {}{next}", words(&found.embedded), settings.listen);
        }
    }
    say!("  participants  {} of {} up (see: skynet status)", found.participants_up, found.participants);
    say!("  settings      {}", tree.boss_conf().display());
    say!("  services      {}", tree.scan_dir().display());
    say!("  logs          {}", tree.logs().display());
}
