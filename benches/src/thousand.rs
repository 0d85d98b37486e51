//! A thousand services, and more: time until all run, memory, idleness, the end.

use crate::peer::{Kind, Peer};
use crate::progress::doing;
use crate::table::{Goal, Row, Table, median};
use crate::tree::{Services, Stamp, Tree, now};
use crate::{Bench, process, size};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const COLUMNS: [&str; 4] = ["ours", "daemontools", "runit", "s6"];
const KINDS: [Kind; 4] = [Kind::Ours, Kind::Daemontools, Kind::Runit, Kind::S6];
const BASE: &str = "daemontools";

type Figures = BTreeMap<&'static str, Vec<f64>>;

/// Start, memory and idleness of services without loggers.
///
/// # Errors
/// What a tree reports.
pub fn thousand(bench: &Bench) -> io::Result<()> {
    let (number, rounds) = (size("SERVICES", 1000)?, size("ROUNDS", 5)?);
    let peers = Peer::all(bench, &KINDS);
    let table = Table::new(&format!("{number} services"), &COLUMNS);
    let mut rows = [
        Row::new("KiB of memory per service (PSS)", BASE, Goal::AtMost(70.0)),
        Row::new("... held against daemontools", BASE, Goal::AtMostOf(0.75)),
        Row::new(format!("wake-ups in {} idle seconds", size("IDLE", 11)?), BASE, Goal::AtMost(0.0)),
        Row::new("ms of CPU in that time", BASE, Goal::None),
    ];
    let mut starts = Figures::new();
    for peer in &peers {
        let (mut tree, services) = started(bench, peer, Services::Scripts, number, &mut starts)?;
        let AtRest { memory, wakes, computed } = AtRest::of(&mut tree, &services, number)?;
        for (row, figure) in rows.iter_mut().zip([memory, memory, wakes, computed]) {
            row.put(peer.kind.label(), figure);
        }
    }
    rows.iter().for_each(|row| table.row(row));
    for _ in 1..rounds {
        for peer in &peers {
            started(bench, peer, Services::Scripts, number, &mut starts)?;
        }
    }
    table.row(&start_row(rounds, 1.0, &starts));
    Ok(())
}

/// The start of services with loggers.
///
/// # Errors
/// What a tree reports.
pub fn pairs(bench: &Bench) -> io::Result<()> {
    let (number, rounds) = (size("SERVICES", 1000)?, size("ROUNDS", 3)?);
    let peers = Peer::all(bench, &KINDS);
    let table = Table::new(&format!("{number} services, each with a logger"), &COLUMNS);
    let mut starts = Figures::new();
    for _ in 0..rounds {
        for peer in &peers {
            started(bench, peer, Services::Pairs, number, &mut starts)?;
        }
    }
    table.row(&start_row(rounds, 1.5, &starts));
    Ok(())
}

/// Ten thousand services, and many with loggers: ours, and s6 (daemontools and runit end at a thousand).
///
/// # Errors
/// What a tree reports.
pub fn many(bench: &Bench) -> io::Result<()> {
    for (services, number, what) in [
        (Services::Scripts, size("MANY", 10_000)?, "services"),
        (Services::Pairs, size("MANYPAIRS", 1000)?, "services, each with a logger"),
    ] {
        let table = Table::new(&format!("{number} {what}"), &["ours", "s6"]);
        let mut rows = [
            Row::new("s from start until all run", "s6", Goal::None),
            Row::new("most threads that ran or wanted to, at once", "s6", Goal::None),
            Row::new("KiB of memory per supervised process (PSS)", "s6", Goal::AtMost(70.0)),
            Row::new(format!("wake-ups in {} idle seconds", size("IDLE", 11)?), "s6", Goal::AtMost(0.0)),
            Row::new("ms of CPU in that time", "s6", Goal::None),
            Row::new("KiB of memory of the scanner, at the most", "s6", Goal::None),
            Row::new("s from TERM until all have ended", "s6", Goal::None),
        ];
        for peer in Peer::all(bench, &[Kind::Ours, Kind::S6]) {
            let mut starts = Figures::new();
            let (started, most) = watched(|| started(bench, &peer, services, number, &mut starts));
            let (mut tree, stamps) = started?;
            let label = peer.kind.label();
            let at_rest = AtRest::of(&mut tree, &stamps, number)?;
            let peak = tree.peak() as f64;
            doing(format!("{label} ends"));
            let begun = now();
            tree.end()?;
            let end = (now() - begun).as_secs_f64();
            let start = starts.values().flatten().copied().next().unwrap_or_default();
            let AtRest { memory, wakes, computed } = at_rest;
            let memory = memory * number as f64 / stamps.len() as f64;
            let figures = [start, most as f64, memory, wakes, computed, peak, end];
            rows.iter_mut().zip(figures).for_each(|(row, figure)| row.put(label, figure));
        }
        rows.iter().for_each(|row| table.row(row));
    }
    Ok(())
}

fn start_row(rounds: usize, goal: f64, starts: &Figures) -> Row {
    let what = format!("s from start until all run, median of {rounds}");
    let mut row = Row::new(what, BASE, Goal::AtMostOf(goal));
    starts.iter().for_each(|(label, figures)| row.put(label, median(figures)));
    row
}

/// A tree of which all services run, and when the last of them did.
fn started(
    bench: &Bench,
    peer: &Peer,
    services: Services,
    number: usize,
    starts: &mut Figures,
) -> io::Result<(Tree, Vec<Stamp>)> {
    doing(format!("{} starts {number} services", peer.kind.label()));
    let mut tree = Tree::start(bench, peer, services, number)?;
    let stamps = tree.running(if services == Services::Pairs { 2 * number } else { number })?;
    let last = stamps.iter().map(|stamp| stamp.at).max().unwrap_or_default();
    let took = last.saturating_sub(tree.begun).as_secs_f64();
    starts.entry(peer.kind.label()).or_default().push(took);
    Ok((tree, stamps))
}

/// What a tree at rest costs.
struct AtRest {
    memory: f64,
    wakes: f64,
    computed: f64,
}

impl AtRest {
    fn of(tree: &mut Tree, services: &[Stamp], number: usize) -> io::Result<Self> {
        // Until what the start still brings is over: a service counts as up after a second.
        doing(format!("{} rests", tree.peer.kind.label()));
        thread::sleep(Duration::from_secs(3));
        let supervisors = tree.supervisors(services);
        let sum = |of: fn(i32) -> u64| supervisors.iter().map(|pid| of(*pid)).sum::<u64>();
        let memory = sum(process::pss) as f64 / number as f64;
        let (wakes, computed) = (sum(process::sleeps), sum(process::computed));
        thread::sleep(Duration::from_secs(size("IDLE", 11)? as u64));
        let (wakes, computed) = (sum(process::sleeps) - wakes, sum(process::computed) - computed);
        Ok(Self { memory, wakes: wakes as f64, computed: computed as f64 / 1e6 })
    }
}

/// Does something, and says how many threads of this machine ran or wanted to at most meanwhile.
fn watched<T>(something: impl FnOnce() -> T) -> (T, u64) {
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(process::runnable(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let done = something();
        over.store(true, Ordering::Relaxed);
        done
    });
    (done, most.into_inner())
}
