//! `skynet history --stats` over a million rows, which are written as exo writes them.

use crate::progress::doing;
use crate::table::{Goal, Row, Table, median};
use crate::tree::now;
use crate::{Bench, process, size};
use state::history::{self, Outcome, Writer};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const COLUMNS: [&str; 1] = ["ours"];
/// So often it is asked.
const ASKED: usize = 11;
/// Long enough that no row is old.
const KEEP: Duration = Duration::from_secs(100 * 365 * 86_400);
/// When the first workitem started: microseconds since 1970.
const FIRST: i64 = 1_780_000_000_000_000;

/// The rows.
///
/// # Errors
/// What writing or asking reports.
pub fn history(bench: &Bench) -> io::Result<()> {
    let number = size("ROWS", 1_000_000)?;
    let table = Table::new(&format!("skynet history --stats, {number} rows, median of {ASKED}"), &COLUMNS);
    let home = tempfile::Builder::new().prefix("home-").tempdir_in(&bench.place)?;
    let state = home.path().join("participants/sizer");
    fs::create_dir_all(&state)?;
    write(&state, number)?;
    let (mut wall, mut computed) = (vec![], vec![]);
    for _ in 0..ASKED {
        let mut command = Command::new(bench.target.join("skynet/bin/skynet"));
        command.args(["history", "--stats"]).env_clear().env("SKYNET_HOME", home.path());
        let (before, begun) = (process::computed_by_children()?, now());
        let output = command.stdin(Stdio::null()).output()?;
        wall.push((now() - begun).as_secs_f64() * 1000.0);
        computed.push((process::computed_by_children()? - before) * 1000.0);
        if !String::from_utf8_lossy(&output.stdout).contains(&format!(" {number} ")) {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    for (what, times, goal) in
        [("ms until it has answered", wall, Goal::AtMost(300.0)), ("ms of CPU", computed, Goal::None)]
    {
        let mut row = Row::new(what, "ours", goal);
        row.put("ours", median(&times));
        table.row(&row);
    }
    Ok(())
}

fn write(state: &Path, number: usize) -> io::Result<()> {
    let say = |line| eprintln!("bench: warning: {line}");
    let mut writer = Writer::start(state, KEEP, Box::new(say))?;
    for i in 0..number as i64 {
        if i % 10_000 == 0 {
            doing(format!("writes {i} rows"));
        }
        loop {
            writer.write(row(i));
            // One that found no room comes again.
            if writer.take_dropped() == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// The `i`th row: times are spread by Knuth's multiplier, one in thirty is a problem.
fn row(i: i64) -> history::Row {
    let spread = i.wrapping_mul(2_654_435_761) % 1_000_003;
    let (started, wfid) = (FIRST + i * 500_000, format!("20261121-bejoroku-{:06}", i / 3));
    let failed = spread % 30 == 0;
    history::Row {
        participant: "sizer".into(),
        sid: format!("0_{}!9d1b1f9e3c8f4d6da1b5d3a0c7e1f2b3!{wfid}", i % 7),
        wfid,
        workflow: "build-package".into(),
        started,
        ended: started + spread * spread / 100_000,
        wait: (spread % 10 > 0).then_some(spread * 3),
        outcome: if failed { Outcome::Failed } else { Outcome::Replied },
        attempt: 1,
        error: if failed { format!("ValueError: no such package {spread}") } else { String::new() },
    }
}
