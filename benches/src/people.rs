//! What people wait for at the command line: a process in many rotated logs, beside ripgrep on the same files; a SkyNET
//! from nothing to its first answered workitem.

use crate::progress::doing;
use crate::table::{Goal, Row, Table, median};
use crate::tree::now;
use crate::{Bench, process, size};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use unix::tai64n::Tai64n;

const COLUMNS: [&str; 2] = ["ours", "ripgrep"];
/// So often each is asked, in turns.
const ASKED: usize = 11;
/// Whose logs there are, each with files of [`FILE`] bytes.
const PARTICIPANTS: [&str; 4] = ["builder", "notifier", "sizer", "tester"];
const FILE: usize = 16 << 20;
const LINE: usize = 120;
/// So many lines of the process that is looked for are in each file.
const RARELY: usize = 4;
const WFID: &str = "20261121-0900-bejoroku-rebejubo";
/// Every file is so many seconds later than the one before.
const APART: u64 = 7200;
/// So often a SkyNET is begun.
const BEGUN: usize = 5;

/// The lines of one process in many logs.
///
/// # Errors
/// What writing or asking reports.
pub fn log(bench: &Bench) -> io::Result<()> {
    let mebibytes = size("LOGS", 1024)?;
    let table = Table::new(&format!("skynet log --wfid, {mebibytes} MiB, ms, median of {ASKED}"), &COLUMNS);
    let home = tempfile::Builder::new().prefix("logs-").tempdir_in(&bench.disk)?;
    let files = (mebibytes << 20).div_ceil(FILE * PARTICIPANTS.len()).max(1);
    for participant in PARTICIPANTS {
        doing(format!("writes the log of {participant}"));
        write(&home.path().join("log").join(participant), files)?;
    }
    let rg = bench.target.join("tests/rivals/usr/bin/rg");
    let expected = (files * PARTICIPANTS.len() * RARELY, PARTICIPANTS.len() * RARELY);
    let ask = |words: &[&str]| timed(ours(bench, home.path()).args(["log"]).args(words));
    let (mut all, mut late, mut theirs) = (vec![], vec![], vec![]);
    let (mut computed, mut their_computed) = (vec![], vec![]);
    for turn in 0..ASKED {
        doing(format!("asks for the {turn}th time"));
        let (took, cpu, lines) = ask(&["--wfid", WFID])?;
        must(lines == expected.0, "skynet log --wfid", lines)?;
        all.push(took);
        computed.push(cpu);
        let (took, _, lines) = ask(&["--wfid", WFID, "--since", "1h"])?;
        must(lines == expected.1, "skynet log --since", lines)?;
        late.push(took);
        if rg.exists() {
            let mut rg = Command::new(&rg);
            rg.env_clear().args(["--no-config", "-uu", "-F", WFID]).arg(home.path().join("log"));
            let (took, cpu, lines) = timed(&mut rg)?;
            must(lines == expected.0, "rg", lines)?;
            theirs.push(took);
            their_computed.push(cpu);
        }
    }
    let goal = if rg.exists() { Goal::AtMostOf(1.0) } else { Goal::None };
    for (what, base, goal, ours, theirs) in [
        ("all lines of a process", "ripgrep", goal, all, theirs),
        ("... of CPU", "ripgrep", Goal::None, computed, their_computed),
        ("... those of the last hour", "ours", Goal::AtMost(50.0), late, vec![]),
    ] {
        let mut row = Row::new(what, base, goal);
        row.put("ours", median(&ours));
        if !theirs.is_empty() {
            row.put("ripgrep", median(&theirs));
        }
        table.row(&row);
    }
    Ok(())
}

/// From nothing to the first answered workitem.
///
/// # Errors
/// What a command says that fails.
pub fn up(bench: &Bench) -> io::Result<()> {
    let table = Table::new(&format!("skynet local up, ms, median of {BEGUN}"), &["ours"]);
    let (mut listening, mut answered) = (vec![], vec![]);
    for turn in 0..BEGUN {
        doing(format!("begins for the {turn}th time"));
        let place = tempfile::Builder::new().prefix("up-").tempdir_in(&bench.place)?;
        let home = place.path().join("home");
        let run = |words: &[&str]| good(ours(bench, &home).current_dir(place.path()).args(words));
        run(&["new", "sizer"])?;
        let begun = now();
        run(&["local", "up"])?;
        listening.push((now() - begun).as_secs_f64() * 1000.0);
        let did = run(&["enable", "./sizer"]).and_then(|_| run(&["send", "sizer", "-F", "text=a", "--wait"]));
        answered.push((now() - begun).as_secs_f64() * 1000.0);
        run(&["local", "down"])?;
        did?;
    }
    for (what, times, goal) in [
        ("until it is up", listening, Goal::None),
        ("until a workitem is answered", answered, Goal::AtMost(2000.0)),
    ] {
        let mut row = Row::new(what, "ours", goal);
        row.put("ours", median(&times));
        table.row(&row);
    }
    Ok(())
}

fn ours(bench: &Bench, home: &Path) -> Command {
    let mut command = Command::new(bench.target.join("skynet/bin/skynet"));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SKYNET_HOME", home);
    command
}

fn good(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(output),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// Milliseconds that it took and computed, and how many lines it wrote.
fn timed(command: &mut Command) -> io::Result<(f64, f64, usize)> {
    let (before, begun) = (process::computed_by_children()?, now());
    let output = good(command)?;
    let took = (now() - begun).as_secs_f64() * 1000.0;
    let computed = (process::computed_by_children()? - before) * 1000.0;
    Ok((took, computed, output.stdout.iter().filter(|byte| **byte == b'\n').count()))
}

fn must(holds: bool, who: &str, lines: usize) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(format!("{who} found {lines} lines"))) }
}

/// The log of a participant: so many files, of which the last is `current`.
fn write(dir: &Path, files: usize) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for file in 0..files {
        let age = (files - 1 - file) as u64 * APART;
        let path = match age {
            0 => dir.join("current"),
            age => dir.join(format!("{}.s", label(age - 1))),
        };
        write_file(&path, &label(age))?;
    }
    Ok(())
}

fn write_file(path: &Path, label: &str) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let lines = FILE / LINE;
    for line in 0..lines {
        let wfid = match line % lines.div_ceil(RARELY) {
            0 => WFID.to_owned(),
            _ => format!("20261120-{:04}-nusogupa-{line:08}", line % 1440),
        };
        writeln!(
            file,
            "{label}  INFO sizer {wfid}: a text of {line:08} letters, as it was found in the file"
        )?;
    }
    file.flush()
}

/// A label of so many seconds ago.
fn label(ago: u64) -> String {
    let mut bytes = Tai64n::now().to_bytes();
    let mut seconds = [0; 8];
    seconds.copy_from_slice(&bytes[..8]);
    bytes[..8].copy_from_slice(&(u64::from_be_bytes(seconds) - ago).to_be_bytes());
    String::from_utf8_lossy(&Tai64n::from_bytes(bytes).label()).into_owned()
}
