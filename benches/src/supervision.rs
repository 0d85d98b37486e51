//! A scan directory full of services: memory per supervise, time to start, restart latency, svstat.

use crate::Programs;
use crate::table::{Line, median};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SERVICES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

/// PSS of svscan and all supervises, divided by the services.
pub fn memory(ours: &Programs, theirs: &Programs) -> io::Result<Line> {
    let figure = |programs| {
        let tree = Tree::start(programs, SERVICES)?;
        tree.wait_until_all_run()?;
        let pss: io::Result<Vec<u64>> = tree.supervisors()?.into_iter().map(pss_kib).collect();
        Ok::<_, io::Error>(pss?.iter().sum::<u64>() as f64 / SERVICES as f64)
    };
    let (ours, reference) = (figure(ours)?, figure(theirs)?);
    Ok(Line { what: "KiB per supervised service".into(), ours, reference, goal: "<= 0.75" })
}

/// From the start of svscan until all services run.
pub fn start(ours: &Programs, theirs: &Programs) -> io::Result<Line> {
    let figure = |programs| {
        let times: io::Result<Vec<f64>> = (0..3)
            .map(|_| {
                let begun = Instant::now();
                Tree::start(programs, SERVICES)?.wait_until_all_run()?;
                Ok(begun.elapsed().as_secs_f64() * 1000.0)
            })
            .collect();
        Ok::<_, io::Error>(median(times?))
    };
    let (ours, reference) = (figure(ours)?, figure(theirs)?);
    Ok(Line { what: format!("ms until {SERVICES} services run"), ours, reference, goal: "<= 1" })
}

/// From kill -9 of a service that has been up for two seconds until the status names its successor.
pub fn restart(ours: &Programs, theirs: &Programs) -> io::Result<Line> {
    let figure = |programs| {
        let tree = Tree::start(programs, 20)?;
        tree.wait_until_all_run()?;
        wait_for(|| Ok(tree.begun.elapsed() > Duration::from_millis(2500)))?;
        let times: io::Result<Vec<f64>> = (0..20)
            .map(|service| {
                let old = tree.pid(service)?;
                let begun = Instant::now();
                kill(Pid::from_raw(old), Signal::SIGKILL)?;
                wait_for(|| Ok(!matches!(tree.pid(service)?, 0) && tree.pid(service)? != old))?;
                Ok(begun.elapsed().as_secs_f64() * 1000.0)
            })
            .collect();
        Ok::<_, io::Error>(median(times?))
    };
    let (ours, reference) = (figure(ours)?, figure(theirs)?);
    Ok(Line { what: "ms from kill -9 to the new pid".into(), ours, reference, goal: "<= 1" })
}

/// `svstat` over all services.
pub fn svstat(ours: &Programs, theirs: &Programs) -> io::Result<Line> {
    let figure = |programs: &Programs| {
        let tree = Tree::start(programs, SERVICES)?;
        tree.wait_until_all_run()?;
        let times: io::Result<Vec<f64>> = (0..10)
            .map(|_| {
                let begun = Instant::now();
                let mut svstat = Command::new(programs.bin.join("svstat"));
                svstat.args((0..SERVICES).map(|i| tree.service(i))).stdout(Stdio::null()).status()?;
                Ok(begun.elapsed().as_secs_f64() * 1000.0)
            })
            .collect();
        Ok::<_, io::Error>(median(times?))
    };
    let (ours, reference) = (figure(ours)?, figure(theirs)?);
    Ok(Line { what: format!("ms for svstat of {SERVICES} services"), ours, reference, goal: "<= 1" })
}

/// A running svscan in a folder of its own; killed with all it started when dropped.
struct Tree {
    folder: TempDir,
    services: usize,
    svscan: Child,
    begun: Instant,
}

impl Tree {
    fn start(programs: &Programs, services: usize) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("/dev/shm")?;
        for i in 0..services {
            let dir = folder.path().join(format!("s{i:04}"));
            fs::create_dir(&dir)?;
            fs::write(dir.join("run"), "#!/bin/sh\nexec sleep infinity\n")?;
            fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755))?;
        }
        let begun = Instant::now();
        let svscan = Command::new(programs.bin.join("svscan"))
            .arg(folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.bin.display()))
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { folder, services, svscan, begun })
    }

    fn service(&self, i: usize) -> PathBuf {
        self.folder.path().join(format!("s{i:04}"))
    }

    /// The pid in the status of a service; 0 = down.
    fn pid(&self, i: usize) -> io::Result<i32> {
        let status = fs::read(self.service(i).join("supervise/status")).unwrap_or_default();
        Ok(status.get(12..16).and_then(|b| b.try_into().ok()).map_or(0, i32::from_le_bytes))
    }

    fn wait_until_all_run(&self) -> io::Result<()> {
        for i in 0..self.services {
            wait_for(|| {
                let pid = self.pid(i)?;
                Ok(pid != 0 && fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"sleep\n"))
            })?;
        }
        Ok(())
    }

    fn supervisors(&self) -> io::Result<Vec<i32>> {
        let svscan = self.svscan.id() as i32; // a pid fits
        let mut all = children(svscan)?;
        all.push(svscan);
        Ok(all)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // svscan first, then the supervises, then the services: nothing is restarted in between.
        let supervisors = children(self.svscan.id() as i32).unwrap_or_default();
        let services: Vec<i32> = (0..self.services).filter_map(|i| self.pid(i).ok()).collect();
        let _ = self.svscan.kill();
        for pid in supervisors.into_iter().chain(services).filter(|pid| *pid > 0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.svscan.wait();
    }
}

fn children(pid: i32) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
}

fn pss_kib(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    Ok(line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(0))
}

/// Waits, as closely as possible, until a condition holds.
fn wait_for(condition: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let begun = Instant::now();
    while !condition()? {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "waited in vain"));
        }
        std::thread::yield_now();
    }
    Ok(())
}
