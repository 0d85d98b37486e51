//! One service with its logger, and what both have noted.

use servicedir::{client, holder};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::Sandbox;

/// A service directory with a `log`, both run by the program `witness`.
pub struct Site {
    /// What it was called first; its evidence is still called so.
    pub name: String,
    /// Where it is now.
    pub dir: PathBuf,
    /// What service and logger were asked for.
    pub asked: [Asked; 2],
    /// When it was last called otherwise.
    pub hidden: Option<Instant>,
    evidence: PathBuf,
}

/// What a part and its supervise were asked for in letters.
#[derive(Default)]
pub struct Asked {
    /// When the part was last asked to end, or may have been.
    pub end: Option<Instant>,
    /// When its supervise was asked to leave.
    pub leave: Option<Instant>,
    /// The pids of supervises that were asked to leave.
    pub leaving: BTreeSet<i32>,
}

/// A start that a part of a site has noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its pid.
    pub pid: i32,
    /// The last line that was written whole before.
    pub done: u64,
    /// The last line that may have been written in part before.
    pub begun: u64,
    /// The pipe between service and logger.
    pub pipe: String,
}

/// Service or logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Service,
    Logger,
}

impl Part {
    pub const BOTH: [Self; 2] = [Self::Service, Self::Logger];
}

impl Site {
    /// Makes the service directory `scan/NAME`.
    pub fn new(sandbox: &Sandbox, name: &str) -> Self {
        let witness = sandbox.path("witness");
        let evidence = sandbox.folder(format!("evidence/{name}"));
        sandbox.folder(format!("evidence/{name}.log"));
        fs::write(evidence.join("numbers"), [0; 16]).unwrap();
        for (run, suffix) in [("run", ""), ("log/run", ".log")] {
            let line = format!("#!{} {}{suffix}\n", witness.display(), evidence.display());
            sandbox.executable(format!("scan/{name}/{run}"), line);
        }
        let dir = sandbox.path(format!("scan/{name}"));
        Self { name: name.into(), dir, asked: Default::default(), hidden: None, evidence }
    }

    /// The service directory of a part, where it is now.
    pub fn dir(&self, part: Part) -> PathBuf {
        match part {
            Part::Service => self.dir.clone(),
            Part::Logger => self.dir.join("log"),
        }
    }

    /// Renames the service directory.
    pub fn rename(&mut self, name: &str) {
        let to = self.dir.with_file_name(name);
        fs::rename(&self.dir, &to).unwrap();
        self.dir = to;
    }

    /// Sends letters to the supervise of a part. Whether there is one.
    pub fn send(&mut self, part: Part, letters: &str) -> bool {
        let dir = self.dir(part);
        let asked = &mut self.asked[part as usize];
        if letters.contains('x') {
            asked.leave = Some(Instant::now());
            asked.leaving.extend(holder::recorded(&dir).map(|who| who.pid));
        }
        if letters.contains(|letter| !"upc".contains(letter)) {
            asked.end = Some(Instant::now());
        }
        client::send(&dir, letters.as_bytes()).is_ok()
    }

    fn evidence(&self, part: Part) -> PathBuf {
        match part {
            Part::Service => self.evidence.clone(),
            Part::Logger => self.evidence.with_extension("log"),
        }
    }

    /// All starts of a part; and the lines that tell of something that must not happen.
    pub fn notes(&self, part: Part) -> (Vec<Start>, Vec<String>) {
        let text = fs::read_to_string(self.evidence(part).join("notes")).unwrap_or_default();
        let (mut starts, mut wrong) = (vec![], vec![]);
        for line in text.lines() {
            match start(line) {
                Some(start) => starts.push(start),
                None => wrong.push(format!("{}: {line}", self.evidence(part).display())),
            }
        }
        (starts, wrong)
    }

    /// The pid of a part that runs, by its own word and its lock; `None` where none runs.
    pub fn runs(&self, part: Part) -> Option<i32> {
        let path = self.evidence(part).join("alone");
        let file = File::open(&path).ok()?;
        let held = file.try_lock_shared().is_err();
        held.then(|| fs::read_to_string(path).ok()?.trim().parse().ok()).flatten()
    }

    /// The pid of the supervise of a part, by the status that it writes when it begins its work.
    pub fn supervise(&self, part: Part) -> Option<i32> {
        Some(client::status(&self.dir(part)).ok()?.more?.supervise?.pid)
    }

    /// The last line whose write began, and the last one whose write returned.
    pub fn numbers(&self) -> (u64, u64) {
        let bytes = fs::read(self.evidence.join("numbers")).unwrap();
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        (number(0), number(8))
    }

    /// The logs in their order, `current` last.
    pub fn logs(&self) -> Vec<PathBuf> {
        let dir = self.dir(Part::Logger).join("main");
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut logs: Vec<_> = fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        logs.retain(|path| name(path).starts_with('@'));
        logs.sort();
        logs.push(dir.join("current"));
        logs
    }
}

fn start(line: &str) -> Option<Start> {
    let mut words = line.strip_prefix("start ")?.split(' ');
    let (pid, done) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let begun = words.next()?.parse().ok()?;
    Some(Start { pid, done, begun, pipe: words.next().filter(|pipe| pipe.starts_with("pipe:["))?.into() })
}
