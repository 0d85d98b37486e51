//! `skynet doctor`: looks for what is wrong with a SkyNET and says what to do about each.
//!
//! | file | what it looks at |
//! |---|---|
//! | `place.rs` | folders, permissions, disk, limits, what earlier runs left behind |
//! | `programs.rs` | our programs, Python, svscan, the broker |
//! | `participants.rs` | settings, accounts, states, restarts |

mod participants;
mod place;
mod programs;

pub use participants::owner;

use crate::paint::{self, Colour};
use crate::say::{self, say};
use crate::tree::Tree;
use crate::trouble::{Outcome, cannot};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is wrong.
    Good,
    /// It works, but not as well or as safely as it could.
    Warning,
    /// It does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at: `broker`, `disk`, a participant.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where there is nothing to do.
    pub repair: String,
}

impl Finding {
    /// All is well.
    pub fn good(about: &str, found: impl Into<String>) -> Self {
        Self { level: Level::Good, about: about.to_owned(), found: found.into(), repair: String::new() }
    }

    /// It could be better.
    pub fn warning(about: &str, found: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Warning, about: about.to_owned(), found: found.into(), repair: repair.into() }
    }

    /// It does not work.
    pub fn wrong(about: &str, found: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Wrong, about: about.to_owned(), found: found.into(), repair: repair.into() }
    }
}

/// Looks at everything. Exit code 1 when something is wrong.
pub fn run(tree: &Tree, json: bool) -> Outcome {
    let mut findings = place::look(tree);
    findings.extend(programs::look(tree));
    findings.extend(participants::look(tree));
    if json {
        say::json(&findings).map_err(cannot("write", "the result"))?;
    } else {
        print(&findings);
    }
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Wrong)))
}

fn print(findings: &[Finding]) {
    let colours = paint::wanted();
    for finding in findings {
        let (word, colour) = match finding.level {
            Level::Good => ("good   ", Colour::Good),
            Level::Warning => ("warning", Colour::Odd),
            Level::Wrong => ("wrong  ", Colour::Bad),
        };
        say!("{}  {}: {}", paint::paint(colours, colour, word), finding.about, finding.found);
        if !finding.repair.is_empty() {
            say!("           → {}", finding.repair);
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match (count(Level::Wrong), count(Level::Warning)) {
        (0, 0) => say!("nothing is wrong"),
        (wrong, warnings) => say!("{wrong} wrong, {warnings} to look at"),
    }
}
