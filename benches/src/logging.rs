//! Log writers: lines of about 120 bytes, one in a hundred an ERROR, through a pipe into a log of up to twenty files of
//! 16 MiB, beside `cat`.

use crate::peer::{Kind, Peer};
use crate::progress::doing;
use crate::table::{Goal, Row, Table, median};
use crate::{Bench, process, size};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const COLUMNS: [&str; 5] = ["ours", "cat", "daemontools", "s6-log", "svlogd"];
const MIB: usize = 1 << 20;
const GIB: f64 = (1024 * MIB) as f64;

/// What is to become of the lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Labels,
    Plain,
    Select,
}

/// A program that writes a log.
struct Writer {
    label: &'static str,
    peer: Option<Peer>,
}

/// What one run took.
struct Run {
    seconds: f64,
    computed: f64,
    /// The goal counts so: its figure for daemontools, 9.1 s, is more than such a run lasts.
    with_feeder: f64,
}

/// All rows.
///
/// # Errors
/// What a writer reports.
pub fn multilog(bench: &Bench) -> io::Result<()> {
    let (mib, rounds) = (size("MIB", 256)?, size("ROUNDS", 3)?);
    let input = bench.place.join("lines");
    let bytes = write_lines(&input, mib * MIB)? as f64;
    let writers = Writer::all(bench);
    let title = format!("multilog, {mib} MiB of lines");
    let table = Table::new(&format!("{title}: MB/s, median of {rounds}"), &COLUMNS);
    let mut computed = [
        Row::new("s of CPU per GiB, with labels", "daemontools", Goal::None),
        Row::new("... with what feeds the pipe", "daemontools", Goal::AtMost(1.5)),
    ];
    for (what, place, task, goal) in [
        ("memory disk, with labels", &bench.place, Task::Labels, 0.6),
        ("memory disk, without", &bench.place, Task::Plain, 0.85),
        ("memory disk, select -* +*ERROR*", &bench.place, Task::Select, 0.6),
        ("disk, with labels", &bench.disk, Task::Labels, 0.5),
    ] {
        let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
        for round in 0..rounds {
            for writer in &writers {
                doing(format!("{what}: {}, {} of {rounds}", writer.label, round + 1));
                let run = writer.run(task, &input, place)?;
                runs.entry(writer.label).or_default().push(run);
            }
        }
        let middle = |of: fn(&Run) -> f64| {
            let median = move |runs: &Vec<Run>| median(&runs.iter().map(of).collect::<Vec<_>>());
            runs.iter().map(move |(label, runs)| (*label, median(runs)))
        };
        let figures = middle(|run| run.seconds).map(|(label, seconds)| (label, bytes / 1e6 / seconds));
        table.row(&Row {
            what: what.into(),
            figures: figures.collect(),
            base: "cat",
            goal: Goal::AtLeastOf(goal),
        });
        if what.starts_with("memory disk, with labels") {
            middle(|run| run.computed).for_each(|(label, s)| computed[0].put(label, s * GIB / bytes));
            middle(|run| run.with_feeder).for_each(|(label, s)| computed[1].put(label, s * GIB / bytes));
        }
    }
    computed.iter().for_each(|row| table.row(row));
    let mut memory = Row::new("KiB of memory more than without input", "daemontools", Goal::AtMost(1024.0));
    for writer in writers.iter().filter(|writer| writer.peer.is_some()) {
        let idle = writer.peak(&bench.place, None)?;
        memory.put(writer.label, writer.peak(&bench.place, Some(&input))?.saturating_sub(idle) as f64);
    }
    table.row(&memory);
    fs::remove_file(input)
}

impl Writer {
    fn all(bench: &Bench) -> Vec<Self> {
        let peers = Peer::all(bench, &[Kind::Ours, Kind::Daemontools, Kind::S6, Kind::Runit]);
        let label = |kind| match kind {
            Kind::S6 => "s6-log",
            Kind::Runit => "svlogd",
            other => other.label(),
        };
        let writers = peers.into_iter().map(|peer| Self { label: label(peer.kind), peer: Some(peer) });
        [Self { label: "cat", peer: None }].into_iter().chain(writers).collect()
    }

    /// The command, in a directory of its own.
    fn command(&self, task: Task, dir: &Path) -> io::Result<Command> {
        let Some(peer) = &self.peer else {
            let mut cat = Command::new("/bin/sh");
            cat.args(["-c", "exec cat >copy"]).current_dir(dir);
            return Ok(cat);
        };
        let limits = ["s16777215", "n20"];
        let (program, select): (_, &[&str]) = match peer.kind {
            Kind::Runit => ("svlogd", &["-*", "+*ERROR*"]),
            Kind::S6 => ("s6-log", &["-", "+ERROR"]),
            _ => ("multilog", &["-*", "+*ERROR*"]),
        };
        let select = if task == Task::Select { select } else { &[] };
        let mut command = peer.command(program);
        command.current_dir(dir);
        if peer.kind == Kind::Runit {
            fs::create_dir(dir.join("log"))?;
            fs::write(dir.join("log/config"), [&limits, select].concat().join("\n") + "\n")?;
            command.args((task == Task::Labels).then_some("-t"));
        } else {
            command.args((task == Task::Labels).then_some("t")).args(select).args(limits);
        }
        command.arg("./log");
        Ok(command)
    }

    /// Writes the whole input below `place`.
    fn run(&self, task: Task, input: &Path, place: &Path) -> io::Result<Run> {
        let dir = tempfile::Builder::new().prefix("log-").tempdir_in(place)?;
        // What earlier runs left to write is not this one's business.
        nix::unistd::sync();
        let mut command = self.command(task, dir.path())?;
        let before = process::computed_by_children()?;
        let (read, write) = unix::fds::pipe()?;
        let mut feeder = feed(input, write)?;
        let begun = Instant::now();
        let status = command.stdin(Stdio::from(read)).stderr(Stdio::null()).status()?;
        let seconds = begun.elapsed().as_secs_f64();
        let computed = process::computed_by_children()? - before;
        // The reader's end is closed: it has ended, or does so now.
        drop(command);
        feeder.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("{} ended with {status}", self.label)));
        }
        Ok(Run { seconds, computed, with_feeder: process::computed_by_children()? - before })
    }

    /// The most memory (KiB) it had when it had written the input and waits for more.
    fn peak(&self, place: &Path, input: Option<&Path>) -> io::Result<u64> {
        let dir = tempfile::Builder::new().prefix("log-").tempdir_in(place)?;
        let (read, write) = unix::fds::pipe()?;
        let mut command = self.command(Task::Labels, dir.path())?;
        let mut writer = command.stdin(read.try_clone()?).stderr(Stdio::null()).spawn()?;
        let pid = writer.id() as i32; // a pid fits
        if let Some(input) = input {
            feed(input, write.try_clone()?)?.wait()?;
        }
        let sleeps =
            || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "));
        while !dir.path().join("log/current").exists() || has_input(&read) || !sleeps() {
            thread::sleep(Duration::from_millis(5));
        }
        let peak = process::number(pid, "status", "VmHWM:").unwrap_or(0);
        drop((read, write));
        drop(command);
        writer.wait()?;
        Ok(peak)
    }
}

fn feed(input: &Path, pipe: OwnedFd) -> io::Result<std::process::Child> {
    Command::new("cat").stdin(File::open(input)?).stdout(pipe).spawn()
}

fn has_input(pipe: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Lines as a participant writes them, always the same: how many bytes.
fn write_lines(path: &PathBuf, bytes: usize) -> io::Result<usize> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut written = 0;
    for i in 0_u64.. {
        // Hashed, so that lines differ; Knuth's multiplier.
        let n = i.wrapping_mul(2_654_435_761) % 100_000;
        let level = match n % 100 {
            0 => "ERROR",
            1..4 => "WARNING",
            _ => "INFO",
        };
        let line = format!(
            "2026-11-{:02} {:02}:{:02}:{:02},{:03} {level} [sizer] wfid=20261121-bejoroku-{:04}: accepted workitem of \
             home:user{n}:branches\n",
            n % 30 + 1,
            n % 24,
            n % 60,
            n % 59,
            n % 1000,
            i % 10_000
        );
        written += line.len();
        file.write_all(line.as_bytes())?;
        if written >= bytes {
            break;
        }
    }
    file.flush()?;
    Ok(written)
}
