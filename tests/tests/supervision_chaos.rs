//! Thirty services with loggers under svscan, and anything of it is killed, stopped, signalled and renamed at any
//! instant, on a disk that is full at times (as root). What the services saw of it decides: never two copies, no line
//! lost or twice, all back afterwards, and nothing left at the end.
//!
//! SKYNET_CHAOS_SECONDS (default 10) says how long, SKYNET_CHAOS_SEED makes the same choices again,
//! SKYNET_CHAOS_KEEP names a folder that gets all that a failed run left, with the journal of what was done.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod chaos_tree;

use chaos_tree::chaos::Chaos;
use chaos_tree::judge::{Verdict, judge};
use chaos_tree::site::Part;
use chaos_tree::tree::Tree;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};
use tests::Sandbox;
use tests::chaos::{Chance, seed, time};

const SERVICES: usize = 30;
/// So long chaos goes on before all has to come back and end in order.
const SPELL: Duration = Duration::from_secs(30);
/// So many of them one tree goes through.
const SPELLS: usize = 2;

#[test]
fn nothing_runs_twice_nothing_is_lost_and_all_comes_back_whatever_is_killed() {
    let (seed, time) = (seed(), time(10));
    println!("SKYNET_CHAOS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut left = time;
    let mut figures = Figures::default();
    while !left.is_zero() {
        let sandbox = Sandbox::new();
        let mut tree = Tree::new(&sandbox, env!("CARGO_BIN_EXE_witness"), SERVICES);
        for _ in 0..SPELLS {
            let spell = left.min(SPELL);
            left -= spell;
            tree.must(seed, Tree::settle);
            Chaos::new(&mut tree, chance.fork()).run(spell);
            let begun = Instant::now();
            tree.must(seed, Tree::settle);
            figures.back = figures.back.max(begun.elapsed());
            tree.must(seed, Tree::end);
            tree.must(seed, Tree::judge);
            if left.is_zero() {
                break;
            }
        }
        figures.add(&tree);
    }
    println!("{SERVICES} services with logs, {} s: {figures}", time.as_secs());
}

/// What there is to tell of all trees.
#[derive(Default)]
struct Figures {
    done: BTreeMap<&'static str, usize>,
    starts: [usize; 2],
    verdict: Verdict,
    back: Duration,
    /// How often it was said that the disk is full.
    full: usize,
}

impl Figures {
    fn add(&mut self, tree: &Tree) {
        self.full += tree.said.matches(": out of disk space\n").count();
        tree.journal.counts().for_each(|(kind, count)| *self.done.entry(kind).or_default() += count);
        for (site, kills) in tree.sites.iter().zip(&tree.kills) {
            self.verdict.add(&judge(site, *kills));
            for (starts, part) in self.starts.iter_mut().zip(Part::BOTH) {
                *starts += site.notes(part).0.len();
            }
        }
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done: Vec<_> = self.done.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let Verdict { written, lost, gaps, unwritten, .. } = self.verdict;
        write!(
            f,
            "{}; {} starts of services, {} of loggers; {written} lines written, {lost} lost in {gaps} gaps by killed \
             multilogs, {unwritten} that killed services were about to write; {} complaints of a full disk; all back \
             within {:.1} s",
            done.join(", "),
            self.starts[0],
            self.starts[1],
            self.full,
            self.back.as_secs_f64()
        )
    }
}
