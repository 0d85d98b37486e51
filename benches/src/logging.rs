//! multilog: lines of about 120 bytes through a pipe into a rotated log on a memory disk, beside `cat`.

use crate::Programs;
use crate::table::{Line, median};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const BYTES: usize = 256 << 20;

/// With a TAI64N label before each line.
pub fn with_labels(ours: &Programs, _: &Programs) -> io::Result<Line> {
    measure(ours, &["t", "s16777215", "n20", "./log"], "MB/s, multilog t (reference: cat)", ">= 0.6")
}

/// Lines as they are.
pub fn without_labels(ours: &Programs, _: &Programs) -> io::Result<Line> {
    measure(ours, &["s16777215", "n20", "./log"], "MB/s, multilog (reference: cat)", ">= 0.85")
}

fn measure(programs: &Programs, script: &[&str], what: &str, goal: &'static str) -> io::Result<Line> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("/dev/shm")?;
    let input = folder.path().join("input");
    fs::write(&input, lines())?;
    let (mut ours, mut reference) = (vec![], vec![]);
    for _ in 0..3 {
        reference.push(through(&input, &folder, Path::new("/bin/sh"), &["-c", "exec cat >copy"])?);
        ours.push(through(&input, &folder, &programs.bin.join("multilog"), script)?);
    }
    Ok(Line { what: what.into(), ours: median(ours), reference: median(reference), goal })
}

/// MB/s of a program that reads the input from a pipe, in an empty folder.
fn through(input: &Path, folder: &TempDir, program: &Path, args: &[&str]) -> io::Result<f64> {
    let place = tempfile::tempdir_in(folder.path())?;
    let mut feeder = Command::new("cat").stdin(File::open(input)?).stdout(Stdio::piped()).spawn()?;
    let pipe = feeder.stdout.take().map(Stdio::from).unwrap_or_else(Stdio::null);
    let begun = Instant::now();
    let status = Command::new(program).args(args).current_dir(place.path()).stdin(pipe).status()?;
    let took = begun.elapsed().as_secs_f64();
    feeder.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("{} ended with {status}", program.display())));
    }
    Ok(BYTES as f64 / 1e6 / took)
}

/// Lines as a participant writes them.
fn lines() -> Vec<u8> {
    let mut text = Vec::with_capacity(BYTES + 200);
    for i in 0_u64.. {
        let (a, b) = (i.wrapping_mul(2_654_435_761) % 100_000, i % 10_000);
        let line = format!(
            "INFO sizer 20261121-{b:04}-bejoroku-rebejubo: accepted workitem for project home:user{a:05} package kernel-adaptation\n"
        );
        text.extend_from_slice(line.as_bytes());
        if text.len() >= BYTES {
            break;
        }
    }
    text
}
