//! multilog killed with -9 at random moments, while numbered lines come as fast as they go: what may be missing
//! then is what one read held, nothing comes twice or out of its order, and the pipe goes to the next multilog.
//!
//! And a line of a gigabyte.
//!
//! SKYNET_CHAOS_SECONDS (default 6) says how long, SKYNET_CHAOS_SEED makes the same choices again.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::old_logs;
use std::fs;
use std::io::{PipeReader, PipeWriter, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tests::chaos::{self, Chance};
use tests::{Running, Sandbox};

/// Bytes of one log.
const SIZE: usize = 20_000;
/// "at most one read", which is never more than a log holds; and the beginning of a line of which it held less than
/// what patterns see.
const ONE_READ: usize = SIZE + 1000;
/// The longest line.
const LONGEST: usize = 5300;
const LOGS: [&str; 2] = ["plain", "processed"];

#[test]
fn fault_multilog_killed_at_any_moment_loses_at_most_one_read() {
    let (seed, time) = (chaos::seed(), chaos::time(6));
    let mut chance = Chance::new(seed);
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let over = AtomicBool::new(false);
    let (kills, written) = std::thread::scope(|scope| {
        let other = chance.fork();
        let service = scope.spawn(|| serve(writer, other, &over));
        let kills = kill(&sandbox, &reader, &mut chance, time, &over);
        (kills, service.join().unwrap())
    });
    let lost: Vec<_> = LOGS.map(|log| check(&sandbox, log, written, kills, seed)).into();
    println!(
        "multilog killed: {kills} kills, {written} lines, {lost:?} of them lost (SKYNET_CHAOS_SEED={seed})"
    );
}

/// "that write a gigabyte without a newline": memory does not grow with the line. A gigabyte in a minute of chaos.
#[test]
fn fault_line_of_a_gigabyte_is_cut_where_each_log_is_full() {
    const LOG: u64 = 16_777_215;
    let bytes = 1_000_000_000 / 60 * chaos::time(6).as_secs().min(60);
    let sandbox = Sandbox::new();
    let place = multilog::memory_folder();
    let log = place.path().display().to_string() + "/log";
    for (label, length) in [("x", 0), ("t", 26)] {
        // Address space of 10 MiB, the program included.
        let script = format!(
            "head -c {bytes} /dev/zero | (ulimit -v 10240; exec multilog {label} s{LOG} n2 {log}{label})"
        );
        assert_eq!(sandbox.run("sh", &["-c", &script]).told(), (0, "", ""), "{script}");
        let mut sizes: Vec<_> = fs::read_dir(format!("{log}{label}")).unwrap().flatten().collect();
        sizes.sort_by_key(fs::DirEntry::file_name);
        let sizes: Vec<_> = sizes.iter().map(|entry| entry.metadata().unwrap().len()).collect();
        // The old log, current, lock and state; a newline ends the line.
        assert_eq!(sizes, [LOG, (bytes + length + 1) % LOG, 0, 0], "{script}");
    }
    println!("multilog took two lines of {bytes} bytes");
}

/// The service: numbered lines, in pieces and with pauses, until it is over.
fn serve(mut pipe: PipeWriter, mut chance: Chance, over: &AtomicBool) -> usize {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let mut block = vec![];
        for _ in 0..chance.below(800) {
            block.extend(line(number));
            number += 1;
        }
        for piece in block.chunks(1 + chance.below(1 << 16) as usize) {
            pipe.write_all(piece).unwrap();
        }
        // Sometimes as fast as it goes, sometimes with time for multilog to fall asleep.
        std::thread::sleep(Duration::from_millis(chance.below(8)));
    }
    number
}

/// Starts multilog on the pipe again and again, and kills it; the last one may end. How many were killed.
fn kill(
    sandbox: &Sandbox,
    pipe: &PipeReader,
    chance: &mut Chance,
    time: Duration,
    over: &AtomicBool,
) -> usize {
    let end = Instant::now() + time;
    let mut kills = 0;
    // Fewer are too few to tell.
    while Instant::now() < end || kills as u64 <= time.as_secs() * 2 {
        let mut multilog = start(sandbox, pipe);
        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
        let done = multilog.kill();
        // A processor that was just being started has the lock of the one before until it runs.
        let locked = done.code == Some(111) && done.err.contains("unable to lock directory");
        assert!(locked || done.told() == (-1, "", ""), "{done:?}");
        kills += usize::from(!locked);
    }
    over.store(true, Ordering::Relaxed);
    sandbox.wait_until("the last one has ended", || start(sandbox, pipe).finish().told() == (0, "", ""));
    kills
}

fn start(sandbox: &Sandbox, pipe: &PipeReader) -> Running {
    let script = [&format!("s{SIZE}"), "n1000000", "./plain", "!cat", "./processed"];
    let mut command = sandbox.command("multilog", &script);
    command.stdin(Stdio::from(pipe.try_clone().unwrap()));
    sandbox.spawn(command)
}

/// A line says its number at both ends, so that a part of one is no line.
fn line(number: usize) -> Vec<u8> {
    let filling = "x".repeat(number * 7919 % 200 + usize::from(number.is_multiple_of(997)) * 5000);
    format!("<{number} {filling} {number}>\n").into_bytes()
}

/// The number of a whole line.
fn number(line: &str) -> Option<usize> {
    let number = line.strip_prefix('<')?.split(' ').next()?.parse().ok()?;
    (line.as_bytes() == self::line(number).strip_suffix(b"\n")?).then_some(number)
}

/// How many lines are missing.
fn check(sandbox: &Sandbox, log: &str, written: usize, kills: usize, seed: u64) -> usize {
    let names = [old_logs(sandbox, log), vec!["current".to_owned()]].concat();
    let (mut next, mut lost, mut gaps) = (0, 0, 0);
    // Logs that a kill ended since the last whole line: a multilog may be killed before it wrote anything.
    let mut killed = 0;
    let mut rest = String::new();
    for name in &names {
        let text = std::mem::take(&mut rest) + &sandbox.read(format!("{log}/{name}"));
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        // A line that is cut where a log is full goes on in the next one.
        rest = text[whole..].to_owned();
        for line in text[..whole].lines() {
            let Some(number) = number(line) else { continue };
            assert!(number >= next, "SKYNET_CHAOS_SEED={seed}: {number} in {log}/{name} after {next}");
            let missing: usize = (next..number).map(|number| self::line(number).len()).sum();
            // A line of which a part is there counts whole here.
            let most = killed * ONE_READ + 2 * LONGEST;
            assert!(
                missing == 0 || missing <= most,
                "SKYNET_CHAOS_SEED={seed}: {missing} bytes before {number} in {log}/{name} by {killed} kills"
            );
            lost += number - next;
            gaps += usize::from(number > next);
            next = number + 1;
            killed = 0;
        }
        killed += usize::from(name.ends_with(".u"));
    }
    assert_eq!(next, written, "SKYNET_CHAOS_SEED={seed}: the last line is in {log}");
    assert!(gaps <= kills, "SKYNET_CHAOS_SEED={seed}: {gaps} gaps in {log} by {kills} kills");
    lost
}
