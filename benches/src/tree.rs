//! A running tree of services, each of which says that it runs in a FIFO of the tree.

use crate::Bench;
use crate::peer::Peer;
use crate::process;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use unix::fds::open_nonblocking;
use unix::process::Pidfd;

/// For what must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the services are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Services {
    /// A shell script that execs the benchmark's service, as most are.
    Scripts,
    /// The same, each with a `log`.
    Pairs,
    /// The benchmark's service itself.
    Programs,
}

/// A service that has said that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its pid.
    pub pid: i32,
    /// Since when, on [`now`]'s clock.
    pub at: Duration,
    /// The name of its directory.
    pub name: String,
}

/// A running tree; killed with all it started when dropped.
pub struct Tree {
    /// Whose it is.
    pub peer: Peer,
    /// When its scanner was started.
    pub begun: Duration,
    folder: TempDir,
    scanner: Child,
    stamps: File,
    unread: Vec<u8>,
    waiting: VecDeque<Stamp>,
}

/// The time of the stamps.
pub fn now() -> Duration {
    // Cannot fail: the clock is there and the memory ours.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

impl Tree {
    /// Makes so many services and starts them.
    ///
    /// # Errors
    /// What making or starting them reports.
    pub fn start(bench: &Bench, peer: &Peer, services: Services, number: usize) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tree-").tempdir_in(&bench.place)?;
        let (scan, fifo) = (folder.path().join("scan"), folder.path().join("stamps"));
        fs::create_dir(&scan)?;
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        for i in 0..number {
            let dir = scan.join(name(i));
            put_run(&dir, services, &bench.own.join("bench-service"))?;
            if services == Services::Pairs {
                put_run(&dir.join("log"), services, &bench.own.join("bench-service"))?;
            }
        }
        let stamps = open_nonblocking(&fifo, OFlag::O_RDWR)?.into();
        let mut scanner = peer.scanner(&scan);
        scanner
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("errors"))?);
        let begun = now();
        let scanner = scanner.spawn()?;
        let (unread, waiting) = (vec![], VecDeque::new());
        Ok(Self { peer: peer.clone(), begun, folder, scanner, stamps, unread, waiting })
    }

    /// Waits until so many services run: their stamps.
    ///
    /// # Errors
    /// `TimedOut` with what the tree has said when that takes too long.
    pub fn running(&mut self, number: usize) -> io::Result<Vec<Stamp>> {
        (0..number).map(|_| self.stamp()).collect()
    }

    /// Waits for the next stamp.
    ///
    /// # Errors
    /// `TimedOut` with what the tree has said when none comes.
    pub fn stamp(&mut self) -> io::Result<Stamp> {
        while self.waiting.is_empty() {
            let mut fds = [PollFd::new(self.stamps.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
            if poll(&mut fds, timeout)? == 0 {
                let said = fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default();
                let said = said.lines().next().unwrap_or("it said nothing");
                let label = self.peer.kind.label();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{label} started no service: {said}"),
                ));
            }
            let mut bytes = [0; 4096];
            let n = self.stamps.read(&mut bytes)?;
            self.unread.extend_from_slice(&bytes[..n]);
            while let Some(end) = self.unread.iter().position(|c| *c == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                self.waiting.extend(parse(&String::from_utf8_lossy(&line)));
            }
        }
        self.waiting.pop_front().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The directory of a service.
    pub fn service(&self, name: &str) -> PathBuf {
        self.folder.path().join("scan").join(name)
    }

    /// The directories of the first so many services.
    pub fn services(&self, number: usize) -> Vec<PathBuf> {
        (0..number).map(|i| self.service(&name(i))).collect()
    }

    /// The scanner and all supervisors: the whole family but the services.
    pub fn supervisors(&self, services: &[Stamp]) -> Vec<i32> {
        let services: HashSet<i32> = services.iter().map(|stamp| stamp.pid).collect();
        process::family(self.pid()).into_iter().filter(|pid| !services.contains(pid)).collect()
    }

    /// The most memory (KiB) that the scanner had.
    pub fn peak(&self) -> u64 {
        process::number(self.pid(), "status", "VmHWM:").unwrap_or(0)
    }

    /// Tells the scanner to end, and waits until it has: whether that was within [`PATIENCE`].
    ///
    /// # Errors
    /// What signalling it reports.
    pub fn end(&mut self) -> io::Result<bool> {
        let pidfd = Pidfd::open(self.pid())?;
        pidfd.send(Signal::SIGTERM)?;
        has_ended(&pidfd)
    }

    fn pid(&self) -> i32 {
        self.scanner.id() as i32 // a pid fits
    }
}

/// Waits until a process has ended: whether that was within [`PATIENCE`].
///
/// # Errors
/// What waiting reports.
pub fn has_ended(pidfd: &Pidfd) -> io::Result<bool> {
    let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout)? > 0)
}

/// Runs a command that is not to say anything.
///
/// # Errors
/// What starting it reports.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

impl Drop for Tree {
    fn drop(&mut self) {
        let family = process::family(self.pid());
        // Stopped first, so that nobody starts again what is killed; what escapes is left to the guard.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in &family {
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
        let _ = self.scanner.wait();
        // They come to the guard, who buries them.
        let gone = |pid: &i32| !Path::new(&format!("/proc/{pid}/exe")).exists();
        while !family.iter().all(gone) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn name(i: usize) -> String {
    format!("s{i:05}")
}

fn parse(line: &str) -> Option<Stamp> {
    let mut words = line.split_ascii_whitespace();
    let pid = words.next()?.parse().ok()?;
    let at = Duration::from_nanos(words.next()?.parse().ok()?);
    Some(Stamp { pid, at, name: words.next()?.into() })
}

fn put_run(dir: &Path, services: Services, program: &Path) -> io::Result<()> {
    fs::create_dir(dir)?;
    let run = dir.join("run");
    if services == Services::Programs {
        return symlink(program, run);
    }
    fs::write(&run, format!("#!/bin/sh\nexec '{}'\n", program.display()))?;
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755))
}
