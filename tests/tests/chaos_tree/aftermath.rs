//! After the chaos: all comes back, svstat is right, and TERM ends everything.

use super::judge::judge;
use super::site::Part;
use super::tree::Tree;
use std::fs;
use std::time::{Duration, Instant};
use tests::chaos::number_of;
use tests::process::lives;
use tests::waiting::{DEADLINE, holds_within};

/// Until it is given up that all comes back. The longest honest wait: a supervise that was told to exit is started
/// again after five seconds, one that could not start may have failed several times.
const BACK: Duration = Duration::from_secs(180);

impl Tree<'_> {
    /// Does it, or fails with what was done before.
    pub fn must(&mut self, seed: u64, act: impl FnOnce(&mut Self) -> Result<(), String>) {
        if let Err(what) = act(self) {
            if let Some(folder) = std::env::var_os("SKYNET_CHAOS_KEEP") {
                self.sandbox.write("journal", self.journal.last(usize::MAX));
                let _ = fs::create_dir_all(&folder);
                let from = self.sandbox.dir().to_str().unwrap();
                self.sandbox.run("/bin/cp", &["-a", from, folder.to_str().unwrap()]);
            }
            panic!("{what}\nSKYNET_CHAOS_SEED={seed}; the last that was done:\n{}", self.journal.last(120));
        }
    }

    /// Asks for all services and loggers, and waits until they run, svstat tells so, and fresh lines arrive.
    pub fn settle(&mut self) -> Result<(), String> {
        let end = Instant::now() + BACK;
        let mut fresh = vec![None; self.sites.len()];
        let mut asked = Instant::now();
        self.ask_for_all();
        loop {
            self.revive(Instant::now());
            self.reap();
            let wrong = self.what_is_wrong(&mut fresh);
            if wrong.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let noted = self.noted().join("\n");
                return Err(format!("not all is well after {} s: {wrong:#?}\n{noted}", BACK.as_secs()));
            }
            if asked.elapsed() > Duration::from_secs(1) {
                self.ask_for_all();
                asked = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask_for_all(&mut self) {
        for site in &mut self.sites {
            for part in Part::BOTH {
                site.send(part, "uc");
            }
        }
    }

    /// Which part is not as it must be. `fresh`: by site, the line that was the last one when both parts were well.
    fn what_is_wrong(&self, fresh: &mut [Option<u64>]) -> Vec<String> {
        let parts: Vec<_> = self.sites.iter().flat_map(|site| Part::BOTH.map(|part| (site, part))).collect();
        let dirs: Vec<_> = parts.iter().map(|(site, part)| site.dir(*part)).collect();
        let words: Vec<_> = dirs.iter().map(|dir| dir.to_str().unwrap()).collect();
        let told = self.sandbox.command("svstat", &words).output().unwrap();
        let told = String::from_utf8_lossy(&told.stdout);
        let mut wrong: Vec<Option<String>> = vec![];
        for ((site, part), line) in parts.iter().zip(told.lines()) {
            let pid = site.runs(*part).filter(|pid| lives(*pid));
            let state = line.split_once(": ").map_or("", |(_, state)| state);
            let well = pid.is_some_and(|pid| {
                let rest = state.strip_prefix(&format!("up (pid {pid}) "));
                rest.is_some_and(|rest| rest.ends_with(" seconds"))
            });
            let started = site.notes(*part).0.last().map(|start| start.pid);
            let well = well && started == pid;
            wrong.push((!well).then(|| format!("{line} (by its own word it runs as {pid:?}, {started:?})")));
        }
        for (number, site) in self.sites.iter().enumerate() {
            if wrong[2 * number].is_some() || wrong[2 * number + 1].is_some() {
                fresh[number] = None;
                continue;
            }
            let before = *fresh[number].get_or_insert(site.numbers().1);
            let logged = last_logged(site);
            if logged <= before {
                wrong.push(Some(format!("{}: line {logged} is the last one, {before} was", site.name)));
            }
        }
        wrong.into_iter().flatten().collect()
    }

    /// TERM to svscan ends everything.
    pub fn end(&mut self) -> Result<(), String> {
        self.journal.note("TERM", "svscan");
        let svscan = self.svscan.as_mut().map_err(|_| "svscan does not run")?;
        let done = svscan.terminate();
        self.bury_svscan(Instant::now());
        // One that has let go of its lock may need a moment more.
        holds_within(DEADLINE, || self.sandbox.leftovers().is_empty());
        let left = self.sandbox.leftovers();
        match done.code {
            Some(0) if left.is_empty() => Ok(()),
            _ => Err(format!("svscan ended with {:?} and left {left:#?}", done.code)),
        }
    }

    /// What services and loggers have noted that must not happen.
    fn noted(&self) -> Vec<String> {
        self.sites
            .iter()
            .flat_map(|site| Part::BOTH.into_iter().flat_map(|part| site.notes(part).1))
            .collect()
    }

    /// What services and loggers have noted, and what the logs hold. All have ended.
    pub fn judge(&mut self) -> Result<(), String> {
        let mut faults = self.noted();
        for (site, kills) in self.sites.iter().zip(&self.kills) {
            faults.extend(judge(site, *kills).faults);
        }
        faults.extend(
            self.said.lines().filter(|line| !is_to_be_said(line)).map(|line| format!("said: {line}")),
        );
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}

/// The number of the last whole line in the logs of a site.
fn last_logged(site: &super::site::Site) -> u64 {
    site.logs()
        .iter()
        .rev()
        .find_map(|log| {
            let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
            text.lines().rev().find_map(|line| number_of(line.split_once(' ')?.1))
        })
        .unwrap_or(0)
}

/// A directory may be renamed between the look at its name and the use of that; the disk is full at times.
fn is_to_be_said(line: &str) -> bool {
    let renamed = ["svscan: warning: unable to ", "supervise: fatal: unable to chdir to "];
    renamed.iter().any(|words| line.starts_with(words)) && line.ends_with(": file does not exist")
        || line.contains(": unable to ") && line.ends_with(": out of disk space")
}
