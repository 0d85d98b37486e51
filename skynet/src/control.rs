//! `skynet start|stop|restart`: letters to supervise, and waiting until they have had their effect.

use crate::enable::{self, AtBoot};
use crate::listening;
use crate::participant::{self, Participant};
use crate::say::say;
use crate::service::{Service, tell};
use crate::starting;
use crate::stopping::{self, Goal, PATIENCE};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use servicedir::names;
use std::fs;
use std::time::Duration;

/// How long a supervise or a logger with nothing to do may take to end.
const BRIEFLY: Duration = Duration::from_secs(10);

/// `skynet start NAME…`. One that is installed but has no service directory gets one, disabled.
pub fn start(tree: &Tree, wanted: &[String]) -> Outcome {
    for word in wanted {
        let names = match tree.pick(std::slice::from_ref(word)) {
            Err(Trouble::NoSuch(line)) => match Participant::find(tree, word) {
                Ok(participant) => {
                    enable::make(tree, &participant, AtBoot::Down)?;
                    say!("{} does not start by itself (for that: skynet enable {word})", participant.name);
                    participant.services()
                }
                Err(Trouble::NoSuch(_)) => return Err(Trouble::NoSuch(line)),
                Err(other) => return Err(other),
            },
            picked => picked?,
        };
        for name in names {
            let before = Service::look(&tree.service(&name)).restarts_once_up();
            begin(tree, &name, before)?;
        }
    }
    Ok(0)
}

/// `skynet stop NAME…`. One that is disabled is taken away.
pub fn stop(tree: &Tree, wanted: &[String]) -> Outcome {
    let picked = tree.pick(wanted)?;
    let killed = halt(tree, &picked)?;
    for name in &picked {
        if Service::look(&tree.service(name)).enabled {
            say!("{name} is down (it starts again with SkyNET, unless: skynet disable {name})");
        } else {
            take_away(tree, name)?;
            say!("{name} is down and taken away; its log stays in {}", tree.logs().join(name).display());
        }
    }
    Ok(exit_code(&killed))
}

/// `skynet restart NAME…`: down, wait, up.
pub fn restart(tree: &Tree, wanted: &[String]) -> Outcome {
    let picked = tree.pick(wanted)?;
    let killed = halt(tree, &picked)?;
    for name in &picked {
        let before = Service::look(&tree.service(name)).restarts_once_up();
        begin(tree, name, before)?;
    }
    Ok(exit_code(&killed))
}

/// Wants the service up and waits until it is; says so. `before` is what
/// [`Service::restarts_once_up`] said before.
///
/// # Errors
/// When no supervise runs, or the service does not stay up.
pub fn begin(tree: &Tree, name: &str, before: u32) -> Result<(), Trouble> {
    starting::wait_for_supervise(tree, name)?;
    tell(&tree.service(name), "u")?;
    let pid = starting::wait_until_up(tree, name, before)?;
    say!("{name} is up (pid {pid})");
    if let Some(note) = listening::wait(tree, name)? {
        say!("note: {note}");
    }
    Ok(())
}

/// Takes a service directory away: its name first, so that nothing of it is started again.
///
/// # Errors
/// What renaming and removing reports; when something does not end.
pub fn take_away(tree: &Tree, name: &str) -> Result<(), Trouble> {
    let (dir, gone) = (tree.service(name), tree.scan_dir().join(format!(".{name}.gone")));
    if gone.exists() {
        fs::remove_dir_all(&gone).map_err(cannot("remove", gone.display()))?;
    }
    fs::rename(&dir, &gone).map_err(cannot("remove", dir.display()))?;
    stopping::stop(std::slice::from_ref(&gone), Goal::Gone, PATIENCE)?;
    // svscan holds the pipe to the logger until both are gone: it is told to end.
    stopping::stop(&[gone.join(names::LOG)], Goal::Gone, BRIEFLY)?;
    fs::remove_dir_all(&gone).map_err(cannot("remove", gone.display()))
}

fn halt(tree: &Tree, names: &[String]) -> Result<Vec<String>, Trouble> {
    let dirs: Vec<_> = names.iter().map(|name| tree.service(name)).collect();
    let killed = stopping::stop(&dirs, Goal::Idle, participant::patience(tree, &dirs))?;
    for name in &killed {
        say!("{name} had to be killed; its workitem goes back to the queue");
    }
    Ok(killed)
}

/// 1 when something had to be killed.
fn exit_code(killed: &[String]) -> u8 {
    u8::from(!killed.is_empty())
}
