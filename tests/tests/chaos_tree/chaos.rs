//! What chance does to the tree.
//!
//! Anything is killed, at any instant and many at once, with one exception: somebody stays who holds the one end of
//! the pipe of a pair, and somebody who holds the other. What is in a pipe goes with the last of them.

use super::site::Part;
use super::tree::{Kind, Member, Tree};
use std::time::{Duration, Instant};
use tests::chaos::Chance;
use unix::process::Signal;

/// What was asked for in letters has come to pass after so long, even on a machine that is on its knees.
const ASKED: Duration = Duration::from_secs(6);

/// Chance at work.
pub struct Chaos<'t, 'a> {
    tree: &'t mut Tree<'a>,
    chance: Chance,
    /// The pipe of each site.
    pipes: Vec<String>,
    /// Who was stopped, and until when.
    asleep: Vec<(Instant, Member)>,
    /// Letters to be sent.
    letters: Vec<(Instant, usize, Part, &'static str)>,
    /// Sites that are called otherwise, or hidden from svscan, and until when.
    away: Vec<(Instant, usize)>,
    /// Until when the disk is full.
    full: Option<Instant>,
}

/// Letters for a part, and those that come later, so that it does not stay as it is then.
const LETTERS: [(&str, Option<&str>); 13] = [
    ("u", None),
    ("d", Some("u")),
    ("t", None),
    ("r", None),
    ("o", Some("u")),
    ("p", Some("c")),
    ("c", None),
    ("k", None),
    ("i", None),
    ("pd", Some("u")),
    ("du", None),
    ("dx", None),
    ("x", None),
];

/// Ends of a pipe.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    read: bool,
    write: bool,
}

impl Ends {
    fn any(self) -> bool {
        self.read || self.write
    }

    fn both(self) -> bool {
        self.read && self.write
    }

    fn add(&mut self, other: Self) {
        self.read |= other.read;
        self.write |= other.write;
    }
}

impl<'t, 'a> Chaos<'t, 'a> {
    /// Gets ready; all services and loggers run.
    pub fn new(tree: &'t mut Tree<'a>, chance: Chance) -> Self {
        let pipe = |site: &super::site::Site| site.notes(Part::Service).0.last().unwrap().pipe.clone();
        let pipes = tree.sites.iter().map(pipe).collect();
        Self { tree, chance, pipes, asleep: vec![], letters: vec![], away: vec![], full: None }
    }

    /// Goes on for a time. Afterwards nobody is stopped and every site has its name; whatever else is as it is.
    pub fn run(mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut pause = 0;
        while Instant::now() < end {
            // Sometimes hardly anybody lives, sometimes almost everybody.
            if self.chance.once_in(20) {
                pause = [10, 20, 60, 200][self.chance.below(4) as usize];
            }
            match self.chance.below(100) {
                0..62 => self.strike(),
                62..74 => self.stop_one(),
                74..90 => self.send_letters(),
                90..94 => self.rename_one(),
                94..96 => self.fill_disk(),
                _ => self.hang_up(),
            }
            self.do_what_is_due(Instant::now());
            std::thread::sleep(self.chance.time(pause + 1));
        }
        self.do_what_is_due(end + Duration::from_secs(3600));
    }

    fn do_what_is_due(&mut self, now: Instant) {
        self.tree.reap();
        self.tree.revive(now);
        for (_, member) in self.asleep.extract_if(.., |(at, _)| *at <= now) {
            member.signal(Signal::SIGCONT);
        }
        for (_, site, part, letters) in self.letters.extract_if(.., |(at, ..)| *at <= now) {
            self.tree.letters(site, part, letters);
        }
        for (_, site) in self.away.extract_if(.., |(at, _)| *at <= now) {
            let site = &mut self.tree.sites[site];
            let name = site.name.clone();
            site.rename(&name);
            site.hidden = Some(Instant::now());
        }
        if let Some(disk) = self.tree.disk.as_ref().filter(|_| self.full.is_some_and(|at| at <= now)) {
            disk.free();
            self.tree.journal.note("room again", "");
            self.full = None;
        }
    }

    /// Leaves no room on the disk for a while.
    fn fill_disk(&mut self) {
        if let Some(disk) = self.tree.disk.as_ref().filter(|_| self.full.is_none()) {
            disk.fill();
            self.tree.journal.note("disk full", "");
            self.full = Some(Instant::now() + self.chance.time(4000));
        }
    }

    /// Kills some, all at once.
    fn strike(&mut self) {
        let members = self.tree.members();
        let mut doomed = self.choose(&members);
        self.spare_holders(&members, &mut doomed);
        let mut order: Vec<_> = members.iter().zip(&doomed).filter(|(_, doomed)| **doomed).collect();
        order.sort_by_cached_key(|_| self.chance.below(1000));
        for (member, _) in order {
            if member.signal(Signal::SIGKILL) {
                self.tree.killed(member);
                if member.kind == Kind::Svscan {
                    let again = Instant::now() + self.chance.time(150);
                    self.tree.bury_svscan(again);
                }
            }
        }
    }

    fn choose(&mut self, members: &[Member]) -> Vec<bool> {
        let is = |kinds: &[Kind]| members.iter().map(|member| kinds.contains(&member.kind)).collect();
        let supervises = [Part::Service, Part::Logger].map(Kind::Supervise);
        match self.chance.below(100) {
            0..50 => self.some(members, 8, false),
            50..60 => {
                // A whole pair, perhaps with svscan.
                let site = Some(self.chance.below(self.tree.sites.len() as u64) as usize);
                let svscan = self.chance.once_in(2);
                let whole = |member: &Member| member.site == site || svscan && member.kind == Kind::Svscan;
                members.iter().map(whole).collect()
            }
            60..63 => is(&supervises),
            63..66 => is(&[Kind::Part(Part::Service)]),
            66..69 => is(&[Kind::Part(Part::Logger)]),
            69..71 => is(&[Kind::Part(Part::Service), Kind::Part(Part::Logger)]),
            71..74 => is(&[Kind::Svscan, supervises[0], supervises[1]]),
            74..87 => is(&[Kind::Svscan]),
            _ => self.some(members, 25, true),
        }
    }

    /// Up to so many of them.
    fn some(&mut self, members: &[Member], most: u64, svscan: bool) -> Vec<bool> {
        let share = 1 + self.chance.below(most);
        let all = members.len() as u64;
        members
            .iter()
            .map(|member| match member.kind {
                Kind::Svscan => svscan,
                _ => self.chance.below(all) < share,
            })
            .collect()
    }

    /// Takes some from the doomed where nobody else is sure to hold both ends of a pipe.
    fn spare_holders(&mut self, members: &[Member], doomed: &mut [bool]) {
        for site in 0..self.tree.sites.len() {
            let who = |&i: &usize| members[i].kind == Kind::Svscan || members[i].site == Some(site);
            let mut mine: Vec<usize> = (0..members.len()).filter(who).collect();
            if !mine.iter().any(|i| doomed[*i]) {
                continue;
            }
            let ends = |i: usize| self.ends(&members[i], site);
            let mut held = Ends::default();
            mine.iter().filter(|i| !doomed[**i]).for_each(|i| held.add(ends(*i)));
            // Any of them, not always the same.
            let first = self.chance.clone().below(mine.len() as u64) as usize;
            mine.rotate_left(first);
            for i in &mine {
                let ends = if doomed[*i] && !held.both() { ends(*i) } else { Ends::default() };
                if ends.any() {
                    doomed[*i] = false;
                    held.add(ends);
                }
            }
            if !held.both() {
                mine.iter().for_each(|i| doomed[*i] = false);
            }
        }
    }

    /// Which ends of the pipe of a site this one has, and goes on to have unless it is killed.
    fn ends(&self, member: &Member, number: usize) -> Ends {
        let site = &self.tree.sites[number];
        let recently = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < ASKED);
        let (read, write, sure) = match member.kind {
            // It lets go of a site that it does not see and of which nobody runs.
            Kind::Svscan => {
                (true, true, !self.away.iter().any(|(_, away)| *away == number) && !recently(site.hidden))
            }
            Kind::Supervise(part) => {
                // One that is not at work yet leaves again when its svscan is killed.
                let at_work = site.supervise(part) == Some(member.pid);
                let site = &site.asked[part as usize];
                (true, true, at_work && !site.leaving.contains(&member.pid) && !recently(site.leave))
            }
            Kind::Part(part) => {
                let asked = recently(site.asked[part as usize].end);
                (part == Part::Logger, part == Part::Service, !asked)
            }
        };
        let holds = sure && member.holds(&self.pipes[number]);
        Ends { read: read && holds, write: write && holds }
    }

    /// Which ends of the pipe of a site are held when these go.
    fn held_without(&self, site: usize, goes: impl Fn(&Member) -> bool) -> Ends {
        let mut held = Ends::default();
        let mine = |member: &&Member| member.kind == Kind::Svscan || member.site == Some(site);
        let members = self.tree.members();
        members
            .iter()
            .filter(mine)
            .filter(|member| !goes(member))
            .for_each(|member| held.add(self.ends(member, site)));
        held
    }

    fn stop_one(&mut self) {
        let mut members = self.tree.members();
        if members.is_empty() {
            return;
        }
        let member = members.swap_remove(self.chance.below(members.len() as u64) as usize);
        if member.signal(Signal::SIGSTOP) {
            self.tree.journal.note("stopped", self.tree.describe(&member));
            self.asleep.push((Instant::now() + self.chance.time(400), member));
        }
    }

    fn send_letters(&mut self) {
        let site = self.chance.below(self.tree.sites.len() as u64) as usize;
        let part = if self.chance.once_in(2) { Part::Service } else { Part::Logger };
        let Some((letters, later)) = self.chance.pick(&LETTERS).copied() else { return };
        let goes = |member: &Member| [Kind::Supervise(part), Kind::Part(part)].contains(&member.kind);
        if letters.contains('x') && !self.held_without(site, goes).both() {
            return;
        }
        self.tree.letters(site, part, letters);
        if let Some(later) = later {
            self.letters.push((Instant::now() + self.chance.time(1500), site, part, later));
        }
    }

    /// Renames a service directory for a while, or hides it from svscan.
    fn rename_one(&mut self) {
        let site = self.chance.below(self.tree.sites.len() as u64) as usize;
        // svscan lets go of a site that it does not see and of which nobody runs: somebody else must have its pipe.
        let held = self.held_without(site, |member| member.kind == Kind::Svscan);
        if !held.both() || self.away.iter().any(|(_, away)| *away == site) {
            return;
        }
        let name = self.tree.sites[site].name.clone();
        let other = if self.chance.once_in(2) { format!(".{name}") } else { format!("{name}-renamed") };
        self.tree.journal.note("renamed", format!("{name} to {other}"));
        self.tree.sites[site].rename(&other);
        self.away.push((Instant::now() + self.chance.time(3000), site));
    }

    fn hang_up(&mut self) {
        if let Ok(svscan) = &self.tree.svscan {
            svscan.signal(Signal::SIGHUP);
            self.tree.journal.note("HUP", "svscan");
        }
    }
}
