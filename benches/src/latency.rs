//! How soon a command takes effect, and how soon a service that was killed is back. All trees run side by side, and take
//! turns.

use crate::peer::{Kind, Peer};
use crate::progress::doing;
use crate::table::{Goal, Row, Table, median, quantile};
use crate::tree::{Services, Stamp, Tree, has_ended, now, spawn};
use crate::{Bench, size};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::thread;
use std::time::Duration;
use unix::process::{Pidfd, Signal};

const COLUMNS: [&str; 5] = ["ours", "daemontools", "runit", "s6", "floor"];
const KINDS: [Kind; 5] = [Kind::Ours, Kind::Daemontools, Kind::Runit, Kind::S6, Kind::Floor];
/// Services of each tree.
const SERVICES: usize = 10;
/// From when on nobody waits any more before a service is started again.
const OLD: Duration = Duration::from_millis(2500);
/// So long after its start a service is told to stop at once.
const SOON: Duration = Duration::from_millis(100);

/// Times of one tree, in milliseconds.
#[derive(Default)]
struct Times {
    restart: Vec<f64>,
    down: Vec<f64>,
    up: Vec<f64>,
    soon: Vec<f64>,
}

/// A tree and its services, the oldest first.
struct Runner {
    tree: Tree,
    services: VecDeque<Stamp>,
    times: Times,
}

/// All rows.
///
/// # Errors
/// What a tree reports.
pub fn latency(bench: &Bench) -> io::Result<()> {
    let samples = size("SAMPLES", 40)?;
    let runners = Peer::all(bench, &KINDS).into_iter().map(|peer| Runner::start(bench, &peer));
    let mut runners: Vec<Runner> = runners.collect::<io::Result<_>>()?;
    let table = Table::new(&format!("ms, median of {samples}"), &COLUMNS);
    for sample in 0..samples {
        doing(format!("kills for the {sample}th time"));
        runners.iter_mut().try_for_each(Runner::kill)?;
    }
    print(&table, &runners, "from kill -9 until it runs again", "floor", Goal::AtMostOf(1.2), |t| {
        median(&t.restart)
    });
    print(&table, &runners, "... 90 of 100 are below", "floor", Goal::None, |t| quantile(&t.restart, 0.9));
    runners.retain(|runner| runner.tree.peer.kind != Kind::Floor);
    for sample in 0..samples {
        doing(format!("tells them for the {sample}th time"));
        // Those that take a second need not be waited for so often.
        let soon = sample < samples.div_ceil(4);
        runners.iter_mut().try_for_each(|runner| runner.control(soon))?;
    }
    let goal = Goal::AtMostOf(1.0);
    print(&table, &runners, "svc -d until it is gone", "daemontools", goal, |t| median(&t.down));
    print(&table, &runners, "svc -u until it runs", "daemontools", goal, |t| median(&t.up));
    let goal = Goal::AtMost(10.0);
    print(&table, &runners, "svc -d, 0.1 s after the start", "daemontools", goal, |t| median(&t.soon));
    Ok(())
}

fn print(
    table: &Table,
    runners: &[Runner],
    what: &str,
    base: &'static str,
    goal: Goal,
    figure: fn(&Times) -> f64,
) {
    let figures = runners.iter().map(|runner| (runner.tree.peer.kind.label(), figure(&runner.times)));
    let figures: BTreeMap<_, _> = figures.collect();
    table.row(&Row { what: what.into(), figures, base, goal });
}

impl Runner {
    fn start(bench: &Bench, peer: &Peer) -> io::Result<Self> {
        let mut tree = Tree::start(bench, peer, Services::Programs, SERVICES)?;
        let services = tree.running(SERVICES)?.into();
        Ok(Self { tree, services, times: Times::default() })
    }

    /// The service that has run longest, when it has run long enough.
    fn oldest(&mut self) -> io::Result<Stamp> {
        let oldest = self.services.pop_front().ok_or_else(|| io::Error::other("no service is left"))?;
        thread::sleep((oldest.at + OLD).saturating_sub(now()));
        Ok(oldest)
    }

    fn kill(&mut self) -> io::Result<()> {
        let service = self.oldest()?;
        let pidfd = Pidfd::open(service.pid)?;
        let begun = now();
        pidfd.send(Signal::SIGKILL)?;
        let next = self.tree.stamp()?;
        self.times.restart.push(ms(next.at - begun));
        self.services.push_back(next);
        Ok(())
    }

    fn control(&mut self, soon: bool) -> io::Result<()> {
        let service = self.oldest()?;
        let down = self.down(&service)?;
        self.times.down.push(down);
        let (mut service, up) = self.up(&service)?;
        self.times.up.push(up);
        if soon {
            thread::sleep((service.at + SOON).saturating_sub(now()));
            let down = self.down(&service)?;
            self.times.soon.push(down);
            service = self.up(&service)?.0;
        }
        self.services.push_back(service);
        Ok(())
    }

    fn down(&self, service: &Stamp) -> io::Result<f64> {
        let pidfd = Pidfd::open(service.pid)?;
        let begun = now();
        let mut svc = spawn(&mut self.tree.peer.control('d', &self.tree.service(&service.name)))?;
        if !has_ended(&pidfd)? {
            return Err(io::Error::other(format!("{} stopped nothing", self.tree.peer.kind.label())));
        }
        let took = now() - begun;
        svc.wait()?;
        Ok(ms(took))
    }

    fn up(&mut self, service: &Stamp) -> io::Result<(Stamp, f64)> {
        let begun = now();
        let mut svc = spawn(&mut self.tree.peer.control('u', &self.tree.service(&service.name)))?;
        let stamp = self.tree.stamp()?;
        svc.wait()?;
        let took = ms(stamp.at - begun);
        Ok((stamp, took))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
