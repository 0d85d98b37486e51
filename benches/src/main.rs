//! `bench [ROWS…]`: ours beside the peers, in one run on this machine. What counts is the ratio.
//!
//! Peers are Debian's daemontools, unpacked by the tests' set-up, and `cat`. Goals stand beside the figures.
#![forbid(unsafe_code)]

mod logging;
mod supervision;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The folder of a set of programs, and what to call it.
pub struct Programs {
    /// How it is called in the table.
    pub label: &'static str,
    /// Where its binaries are.
    pub bin: PathBuf,
}

type Row = fn(&Programs, &Programs) -> std::io::Result<table::Line>;

const ROWS: [(&str, Row); 6] = [
    ("memory", supervision::memory),
    ("start", supervision::start),
    ("restart", supervision::restart),
    ("svstat", supervision::svstat),
    ("multilog-t", logging::with_labels),
    ("multilog", logging::without_labels),
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let ours = Programs { label: "ours", bin: root.join("skynet/bin") };
    let theirs = Programs { label: "daemontools", bin: root.join("tests/peers/usr/bin") };
    for programs in [&ours, &theirs] {
        if !programs.bin.join("svscan").exists() {
            let bin = programs.bin.display();
            eprintln!("bench: no programs in {bin}: run `make build` and `tests/setup` first");
            return ExitCode::from(111);
        }
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|w| ROWS.iter().all(|(name, _)| name != w)) {
        let known = ROWS.map(|(name, _)| name).join(" ");
        eprintln!("bench: no row called {unknown}; there are: {known}");
        return ExitCode::from(100);
    }
    println!("{}", table::HEAD);
    for (name, row) in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        match row(&ours, &theirs) {
            Ok(line) => println!("{line}"),
            Err(e) => {
                eprintln!("bench: {name}: {e}");
                return ExitCode::from(111);
            }
        }
    }
    ExitCode::SUCCESS
}
