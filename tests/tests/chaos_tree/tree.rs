//! svscan and all below it, as /proc shows them.

use super::disk::Disk;
use super::journal::Journal;
use super::site::{Part, Site};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::{Running, Sandbox};
use unix::process::{Pidfd, Signal, start_time};

/// The tree, and what was done to it.
pub struct Tree<'a> {
    /// Where all of it lives.
    pub sandbox: &'a Sandbox,
    /// The services.
    pub sites: Vec<Site>,
    /// What was done.
    pub journal: Journal,
    /// svscan, or when it is to be started again.
    pub svscan: Result<Running, Instant>,
    /// How often the multilog of a site was killed, or may have been.
    pub kills: Vec<usize>,
    /// Who was killed, by pid and start: on a busy machine one goes on being there for a while, but cannot be counted on.
    dead: HashSet<(i32, u64)>,
    /// What it said, one after the other.
    pub said: String,
    /// What `scan` lies on, where this user may mount.
    pub disk: Option<Disk>,
}

/// A process of the tree.
#[derive(Debug)]
pub struct Member {
    /// Its pid when it was looked at.
    pub pid: i32,
    pidfd: Pidfd,
    /// When it was started, in clock ticks since boot.
    start: u64,
    /// What it has open.
    open: OnceCell<BTreeSet<PathBuf>>,
    /// What it is.
    pub kind: Kind,
    /// The site it belongs to, by number.
    pub site: Option<usize>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Svscan,
    /// One that supervises this part, or a child of one that does not execute yet.
    Supervise(Part),
    Part(Part),
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Svscan => "svscan",
            Self::Supervise(Part::Service) => "supervise",
            Self::Supervise(Part::Logger) => "supervise of a log",
            Self::Part(Part::Service) => "service",
            Self::Part(Part::Logger) => "multilog",
        }
    }
}

impl Member {
    /// Sends it a signal. Whether it was still there.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pidfd.send(signal).is_ok()
    }

    /// Whether it has this pipe open. It is looked at once.
    pub fn holds(&self, pipe: &str) -> bool {
        let look = || {
            let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
            entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
        };
        self.open.get_or_init(look).contains(Path::new(pipe))
    }
}

impl<'a> Tree<'a> {
    /// So many services with their loggers, and svscan, which is about to start them.
    pub fn new(sandbox: &'a Sandbox, witness: &str, services: usize) -> Self {
        sandbox.run("/bin/cp", &[witness, "witness"]).good();
        let disk = Disk::new(sandbox);
        let sites = (0..services).map(|number| Site::new(sandbox, &format!("s{number:02}"))).collect();
        let svscan = Ok(sandbox.start("svscan", &["scan"]));
        Self {
            sandbox,
            sites,
            journal: Journal::default(),
            svscan,
            kills: vec![0; services],
            dead: HashSet::new(),
            said: String::new(),
            disk,
        }
    }

    /// Starts svscan again where its time has come, as init would.
    pub fn revive(&mut self, now: Instant) {
        if self.svscan.as_ref().is_err_and(|at| *at <= now) {
            self.svscan = Ok(self.sandbox.start("svscan", &["scan"]));
        }
    }

    /// Takes note of the end of svscan, which was killed; it is started again then.
    pub fn bury_svscan(&mut self, again: Instant) {
        if let Ok(svscan) = &mut self.svscan {
            self.said += &svscan.finish().err;
        }
        self.svscan = Err(again);
    }

    /// Every process of the tree.
    pub fn members(&self) -> Vec<Member> {
        let mut members = vec![];
        let mut parents = vec![std::process::id() as i32];
        while let Some(parent) = parents.pop() {
            for pid in children(parent) {
                parents.push(pid);
                members.extend(self.member(pid));
            }
        }
        members
    }

    /// A process, if it is of the tree: the descriptor first, as a pid may go to a stranger after a look.
    fn member(&self, pid: i32) -> Option<Member> {
        let pidfd = Pidfd::open(pid).ok()?;
        let start = start_time(pid).ok()?;
        if self.dead.contains(&(pid, start)) {
            return None;
        }
        if self.svscan.as_ref().is_ok_and(|svscan| svscan.pid() == pid) {
            return Some(Member { pid, pidfd, start, open: OnceCell::new(), kind: Kind::Svscan, site: None });
        }
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let part = if cwd.ends_with("log") { Part::Logger } else { Part::Service };
        let kind = match exe.file_name()?.to_str()? {
            "supervise" => Kind::Supervise(part),
            "witness" | "multilog" => Kind::Part(part),
            _ => return None,
        };
        let dir = if part == Part::Logger { cwd.parent()? } else { &cwd };
        let site = self.sites.iter().position(|site| site.dir == dir);
        Some(Member { pid, pidfd, start, open: OnceCell::new(), kind, site })
    }

    /// A member in words.
    pub fn describe(&self, member: &Member) -> String {
        let site = member.site.map_or("", |site| &self.sites[site].name);
        format!("{} {} {site}", member.kind.name(), member.pid)
    }

    /// Takes note of a kill.
    pub fn killed(&mut self, member: &Member) {
        self.journal.note(member.kind.name(), self.describe(member));
        self.dead.insert((member.pid, member.start));
        // One that was just born to a supervise of a log may have become multilog meanwhile.
        if let (Kind::Part(Part::Logger) | Kind::Supervise(Part::Logger), Some(site)) =
            (member.kind, member.site)
        {
            self.kills[site] += 1;
        }
    }

    /// Sends letters to a part of a site.
    pub fn letters(&mut self, site: usize, part: Part, letters: &str) {
        if self.sites[site].send(part, letters) {
            let name = self.sites[site].name.clone();
            self.journal.note("letters", format!("{letters} to {part:?} {name}"));
            if part == Part::Logger && letters.contains('k') {
                self.kills[site] += 1;
            }
        }
    }

    /// Waits for the children that have come to us and ended.
    pub fn reap(&self) {
        let svscan = self.svscan.as_ref().map_or(0, Running::pid);
        for pid in children(std::process::id() as i32) {
            if pid != svscan {
                // Most still live.
                let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}

/// The children of a process, of all its threads.
fn children(parent: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return vec![] };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
