//! `skynet history [NAME…]`: how often, how long, how many problems.
//!
//! | file | idea |
//! |---|---|
//! | `rows.rs` | single workitems: a table, CSV or JSON |
//! | `stats.rs` | counts, error rates and quantiles per participant |
//! | `picture.rs` | runs over time, drawn with letters; pure |

mod picture;
mod rows;
mod stats;

pub use rows::{micros, when};

use crate::cli::writer::History as Args;
use crate::log::ago;
use crate::say::complain;
use crate::states;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble};
use nix::unistd::{AccessFlags, access};
use state::history::{Filter, History};
use state::moment;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// What is said where there is no row.
const NOTHING: &str = "no workitem was handled, as far as this asks (what waits: skynet queues)";
/// Whose state it is stands in docs/howto/install.md.
const NOT_OURS: &str = "Permission denied (it is for root and the group boss to read)";
/// Exit code when the history of somebody could not be read.
const NOT_ALL: u8 = 1;

/// Prints rows, or numbers about them.
pub fn run(tree: &Tree, args: &Args, json: bool) -> Outcome {
    let states = states::of(tree, &args.names)?;
    let since = args.since.and_then(|time| ago(time).to_system_time()).map(moment::micros);
    let filter = Filter { participant: None, wfid: args.wfid.clone(), since, problems: args.problems };
    let mut histories = vec![];
    let mut code = 0;
    for (name, place) in &states {
        match History::open(place) {
            Ok(Some(history)) => histories.push((name.clone(), history)),
            Ok(None) => {}
            Err(e) => code = not_read(place, &e),
        }
    }
    // Of what cannot be read it is not known whether anything was handled.
    if code != 0 && histories.is_empty() && !json {
        return Ok(code);
    }
    let troubles = match args.stats {
        true => stats::print(&histories, &filter, args, json)?,
        false => rows::print(&histories, &filter, args, json)?,
    };
    for (name, why) in troubles {
        code = not_read(&states[&name], &why);
    }
    Ok(code)
}

/// A history that is locked or damaged is told of; the others are shown all the same.
pub fn not_read(place: &Path, why: &dyn std::fmt::Display) -> u8 {
    let file = place.join("history.db");
    let closed = File::open(&file).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    match why.to_string() {
        _ if closed => complain!("cannot read {}: {NOT_OURS}", file.display()),
        damaged if damaged.contains("not a database") || damaged.contains("malformed") || file.is_dir() => {
            complain!(
                "cannot read {}: it is damaged; the participant moves it aside when it next starts (skynet reload {})",
                file.display(),
                place.file_name().unwrap_or_default().display()
            )
        }
        locked if locked.contains("locked") => {
            complain!("cannot read {}: another program holds it locked (fuser {0})", file.display());
        }
        _ if place.join("history.db-wal").exists() && !may_write(place) => complain!(
            "cannot read {0}: its last rows are in {0}-wal, and only who may write there can take them up: sudo skynet \
             history, or start the participant (skynet start {1})",
            file.display(),
            place.file_name().unwrap_or_default().display()
        ),
        why => complain!("cannot read {}: {why}", file.display()),
    }
    NOT_ALL
}

fn may_write(place: &Path) -> bool {
    access(place, AccessFlags::W_OK).is_ok()
}

/// Names of participants whose history could not be asked, and why.
type Troubles = Vec<(String, String)>;
type Printed = Result<Troubles, Trouble>;
