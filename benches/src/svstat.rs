//! One command that tells the state of a thousand services. All trees run side by side, and take turns.

use crate::peer::{Kind, Peer};
use crate::process::computed_by_children;
use crate::progress::doing;
use crate::table::{Goal, Row, Table, median};
use crate::tree::{Services, Tree, now, spawn};
use crate::{Bench, size};
use std::io;
use std::path::PathBuf;

const COLUMNS: [&str; 3] = ["ours", "daemontools", "runit"];
const KINDS: [Kind; 3] = [Kind::Ours, Kind::Daemontools, Kind::Runit];
/// So often each is asked.
const ASKED: usize = 101;

struct Asked {
    tree: Tree,
    services: Vec<PathBuf>,
    times: Vec<f64>,
    computed: Vec<f64>,
}

/// The row.
///
/// # Errors
/// What a tree reports.
pub fn svstat(bench: &Bench) -> io::Result<()> {
    let number = size("SERVICES", 1000)?;
    let table = Table::new(&format!("{number} services, ms, median of {ASKED}"), &COLUMNS);
    let mut all = vec![];
    for peer in Peer::all(bench, &KINDS) {
        doing(format!("{} starts {number} services", peer.kind.label()));
        let mut tree = Tree::start(bench, &peer, Services::Programs, number)?;
        tree.running(number)?;
        all.push(Asked { services: tree.services(number), tree, times: vec![], computed: vec![] });
    }
    for turn in 0..ASKED {
        doing(format!("asks for the {turn}th time"));
        all.iter_mut().try_for_each(Asked::ask)?;
    }
    let mut wall = Row::new("the state of all (svstat, sv status)", "daemontools", Goal::AtMostOf(1.0));
    let mut computed = Row::new("... of CPU", "daemontools", Goal::None);
    for asked in &all {
        let label = asked.tree.peer.kind.label();
        wall.put(label, median(&asked.times));
        computed.put(label, median(&asked.computed));
    }
    [wall, computed].iter().for_each(|row| table.row(row));
    Ok(())
}

impl Asked {
    fn ask(&mut self) -> io::Result<()> {
        let Some(mut command) = self.tree.peer.status(&self.services) else { return Ok(()) };
        let (before, begun) = (computed_by_children()?, now());
        spawn(&mut command)?.wait()?;
        self.times.push((now() - begun).as_secs_f64() * 1000.0);
        self.computed.push((computed_by_children()? - before) * 1000.0);
        Ok(())
    }
}
