//! `bench [--known] [GROUP…]`: ours beside the peers, in one run on this machine. What counts is the ratio.
//!
//! | file | idea |
//! |---|---|
//! | `guard.rs` | the benchmark runs below a guard, which leaves nothing behind |
//! | `peer.rs` | what is compared, and how it is started and told |
//! | `tree.rs` | a running tree of services |
//! | `process.rs` | what /proc says of processes |
//! | `thousand.rs` | a thousand services, and more: start, memory, idleness |
//! | `svstat.rs` | the state of a thousand services |
//! | `latency.rs` | how soon a command takes effect and a killed service is back |
//! | `logging.rs` | log writers |
//! | `history.rs` | the history of a million workitems |
//! | `people.rs` | the lines of a process in many logs; from nothing to the first answered workitem |
//! | `table.rs` | figures, ratios, goals |
//! | `progress.rs` | what is being done |
//!
//! This list of groups is the only one; `--known` only says whether there are such groups.
//!
//! Peers that are not there are missing in the tables; that is said once.
//!
//! Sizes are environment variables: `SERVICES` (1000), `IDLE` seconds (11), `ROUNDS` (3, of a thousand 5), `SAMPLES` (40) of each latency,
//! `MIB` (256) of log, `DISK` a folder on a disk (target), `ROWS` (1000000) of a history, `LOGS` (1024) MiB, `MANY` (10000) services of the
//! group `many`, `MANYPAIRS` (1000).
#![forbid(unsafe_code)]

mod guard;
mod history;
mod latency;
mod logging;
mod peer;
mod people;
mod process;
mod progress;
mod svstat;
mod table;
mod thousand;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is common to all groups.
pub struct Bench {
    /// The benchmark's own folder, in memory; the guard removes it.
    pub place: PathBuf,
    /// Another one, on a disk.
    pub disk: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// The benchmark's own programs.
    pub own: PathBuf,
}

type Group = fn(&Bench) -> io::Result<()>;

/// The groups; the last one only where it is asked for: it takes its time.
const GROUPS: [(&str, Group); 9] = [
    ("thousand", thousand::thousand),
    ("pairs", thousand::pairs),
    ("svstat", svstat::svstat),
    ("latency", latency::latency),
    ("multilog", logging::multilog),
    ("history", history::history),
    ("log", people::log),
    ("up", people::up),
    ("many", thousand::many),
];
const USUAL: usize = 8;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let (known_only, wanted) = match wanted.split_first() {
        Some((option, groups)) if option == "--known" => (true, groups.to_vec()),
        _ => (false, wanted),
    };
    if let Some(unknown) = wanted.iter().find(|wanted| GROUPS.iter().all(|(name, _)| name != wanted)) {
        let known = GROUPS.map(|(name, _)| name).join(", ");
        eprintln!("bench: fatal: no group called {unknown} (there are {known}, and exo, broker)");
        return ExitCode::from(100);
    }
    if known_only {
        return ExitCode::SUCCESS;
    }
    let ended = match guard::places() {
        None => target().and_then(|target| guard::guard(&target)),
        Some(places) => bench(places, &wanted).map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|e| {
        eprintln!("bench: fatal: {e}");
        ExitCode::from(111)
    })
}

/// Cargo's target folder, in which this very program is.
fn target() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned())
}

fn bench([place, disk]: [PathBuf; 2], wanted: &[String]) -> io::Result<()> {
    let target = target()?;
    let own = std::env::current_exe()?.with_file_name("");
    let bench = Bench { place, disk, target, own };
    if !bench.target.join("skynet/bin/svscan").exists() {
        return Err(io::Error::other("our programs are not built; run `make build`"));
    }
    for (i, (name, group)) in GROUPS.iter().enumerate() {
        let is_wanted =
            if wanted.is_empty() { i < USUAL } else { wanted.iter().any(|wanted| wanted == name) };
        if is_wanted {
            let ended = group(&bench);
            progress::done();
            ended.map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
        }
    }
    Ok(())
}

/// A size from the environment.
///
/// # Errors
/// What is no number.
pub fn size(variable: &str, usual: usize) -> io::Result<usize> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else { return Ok(usual) };
    let number = value.to_str().and_then(|value| value.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| io::Error::other(format!("{variable}={} is no number above 0", value.display())))
}
