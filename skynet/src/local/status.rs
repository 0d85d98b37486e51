//! `skynet local status`: whether the SkyNET of this home runs, and where things are.

use super::broker::{self, Broker};
use super::svscan;
use crate::name::BROKER;
use crate::say::say;
use crate::service::{Condition, Service};
use crate::status::words;
use crate::tree::Tree;
use crate::trouble::Outcome;

/// Exit code when it does not run, as systemctl's.
const NOT_RUNNING: u8 = 3;

/// Prints the state of the home. Exit code 0 running, 3 not.
pub fn run(tree: &Tree) -> Outcome {
    let svscan = tree.home().and_then(|home| svscan::find(&home.join("run")));
    let up = svscan.is_some();
    say!("SkyNET in {} is {}", super::up::place(tree), if up { "up" } else { "down" });
    match svscan {
        Some(svscan) => say!("  svscan        pid {}", svscan.pid),
        None => say!("  svscan        not running (start it with: skynet local up)"),
    }
    let broker_up = match broker::chosen(tree)? {
        None => false,
        Some(Broker::Elsewhere) => {
            say!("  broker        not ours: the one that {} names", tree.boss_conf().display());
            true
        }
        Some(Broker::Embedded(settings)) => {
            let service = Service::look(&tree.service(BROKER));
            say!("  broker        {} on {}", words(&service), settings.listen);
            matches!(service.condition(), Condition::Up(_))
        }
    };
    let participants = tree.pick(&[])?;
    let services = participants.iter().map(|name| Service::look(&tree.service(name)));
    let running = services.filter(|service| matches!(service.condition(), Condition::Up(_))).count();
    say!("  participants  {running} of {} up (see: skynet status)", participants.len());
    say!("  settings      {}", tree.boss_conf().display());
    say!("  services      {}", tree.scan_dir().display());
    say!("  logs          {}", tree.logs().display());
    Ok(if up && broker_up { 0 } else { NOT_RUNNING })
}
