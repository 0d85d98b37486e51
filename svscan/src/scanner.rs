//! The loop: waits for a change, a signal or a deadline; scans; starts what the plan says; ends in order.

use crate::listing;
use crate::plan::{self, Id, Listed, Moment, Part, Service, Services, Supervise};
use crate::shutdown::{self, Ending};
use crate::warnings::Warnings;
use crate::watch::Watch;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use servicedir::{client, names};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use unix::fds;
use unix::process::{self, Exit};
use unix::signals::SignalPipe;
use unix::words::Words;

/// The pipe from a service to its logger. svscan keeps both ends, so that it outlives both.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// svscan at work in its scan directory, the working directory.
pub struct Scanner {
    born: Instant,
    signals: SignalPipe,
    watch: Option<Watch>,
    services: Services,
    pipes: BTreeMap<Id, Pipe>,
    warnings: Warnings,
    next_scan: Moment,
    ending: Option<Ending>,
}

impl Scanner {
    /// Gets ready to scan.
    ///
    /// # Errors
    /// What registering the signals reports.
    pub fn new() -> io::Result<Self> {
        let signals = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|s| s as i32);
        let mut scanner = Self {
            born: Instant::now(),
            signals: SignalPipe::new(&signals)?,
            watch: None,
            services: Services::new(),
            pipes: BTreeMap::new(),
            warnings: Warnings::default(),
            next_scan: Moment::ZERO,
            ending: None,
        };
        // Orphans of a supervise that is killed come to us; without that they go to init, and all else works.
        if let Err(e) = process::become_subreaper() {
            scanner.warn(&[b"unable to become a subreaper: ", word(&e).as_bytes()]);
        }
        match Watch::here() {
            Ok(watch) => scanner.watch = Some(watch),
            Err(e) => scanner.warn(&[
                b"unable to watch the directory: ",
                word(&e).as_bytes(),
                b" (a change is noticed within five seconds)",
            ]),
        }
        Ok(scanner)
    }

    /// Scans until told to end, then returns the exit code.
    pub fn run(mut self) -> u8 {
        loop {
            let now = self.now();
            match self.ending {
                None => {
                    if self.next_scan <= now {
                        self.scan();
                    }
                    self.start_what_is_due();
                }
                Some(ending) if shutdown::is_over(&self.services) => return ending.exit_code(),
                Some(ending) => self.press_on(ending, false),
            }
            self.wait();
            self.collect();
            self.obey_signals();
        }
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    fn warn(&mut self, parts: &[&[u8]]) {
        let now = self.now();
        self.warnings.say(now, parts);
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        let now = self.now();
        let next = match self.ending {
            None => plan::next_due(&self.services).into_iter().chain([self.next_scan]).min(),
            Some(ending) => ending.deadline(),
        };
        let timeout = match next {
            None => PollTimeout::NONE,
            // Rounded up: a deadline is never early.
            Some(at) => {
                PollTimeout::try_from(at.saturating_sub(now).as_millis() + 1).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.watch.as_ref().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
        // Interrupted or not: the loop looks at everything anyway.
        let _ = poll(&mut fds, timeout);
        let now = self.now();
        if let Some(watch) = &mut self.watch
            && watch.take(now)
        {
            self.next_scan = now;
        }
    }

    /// Buries children: supervises of ours, and orphans that came to us.
    fn collect(&mut self) {
        let now = self.now();
        while let Some((pid, exit)) = process::reap() {
            let killed = matches!(exit, Exit::Signal(_));
            for service in self.services.values_mut() {
                for supervise in [Some(&mut service.main), service.log.as_mut()].into_iter().flatten() {
                    if matches!(supervise, Supervise::Running { pid: p, .. } if *p == pid) {
                        *supervise = supervise.ended(killed, now);
                    }
                }
            }
        }
    }

    fn obey_signals(&mut self) {
        let now = self.now();
        for signal in self.signals.take().collect::<Vec<_>>() {
            match Signal::try_from(signal) {
                Ok(Signal::SIGHUP) => self.next_scan = now,
                Ok(Signal::SIGTERM | Signal::SIGINT) => match self.ending {
                    None => self.begin_to_end(),
                    Some(ending) => self.press_on(ending, true),
                },
                _ => {}
            }
        }
    }

    /// Reads the directory and takes up what is new.
    fn scan(&mut self) {
        let now = self.now();
        self.next_scan = now + plan::SCAN;
        let listing = match listing::read() {
            Ok(listing) => listing,
            Err(e) => return self.warn(&[b"unable to read directory: ", word(&e).as_bytes()]),
        };
        for (name, e) in listing.troubles {
            self.warn(&[b"unable to stat ", name.as_bytes(), b": ", word(&e).as_bytes()]);
        }
        let watch = self.watch.as_ref();
        let fresh = |listed: &Listed| watch.is_some_and(|watch| watch.is_fresh(&listed.name, now));
        let settled = listing.services.into_iter().filter(|listed| !fresh(listed)).collect();
        let found = plan::compare(&mut self.services, settled);
        for id in found.forget {
            self.services.remove(&id);
            self.pipes.remove(&id);
        }
        for listed in found.new {
            self.take_up(listed);
        }
    }

    /// Begins to know a service, with the pipe to its logger if it has one.
    fn take_up(&mut self, listed: Listed) {
        let name = listed.name.as_bytes();
        let has_log = match listing::has_log(Path::new(&listed.name)) {
            Ok(has_log) => has_log,
            Err(e) => return self.warn(&[b"unable to stat ", name, b"/log: ", word(&e).as_bytes()]),
        };
        if has_log {
            match fds::pipe() {
                Ok((read, write)) => self.pipes.insert(listed.id, Pipe { read, write }),
                Err(e) => {
                    return self.warn(&[b"unable to create pipe for ", name, b": ", word(&e).as_bytes()]);
                }
            };
        }
        let service = Service {
            name: listed.name,
            listed: true,
            main: Supervise::NEW,
            log: has_log.then_some(Supervise::NEW),
        };
        self.services.insert(listed.id, service);
    }

    fn start_what_is_due(&mut self) {
        let now = self.now();
        for (id, part) in plan::due(&self.services, now) {
            let Some(service) = self.services.get(&id) else { continue };
            let dir = directory(service, part);
            let started = start(service, part, self.pipes.get(&id));
            let supervise = match started {
                Ok(Some(pid)) => Supervise::Running { pid, since: now },
                Ok(None) => Supervise::Ended { again: now + plan::SCAN },
                Err(e) => {
                    let name = dir.as_os_str().as_bytes();
                    self.warn(&[b"unable to start supervise ", name, b": ", word(&e).as_bytes()]);
                    Supervise::Ended { again: now + plan::SCAN }
                }
            };
            if let Some(service) = self.services.get_mut(&id) {
                match part {
                    Part::Main => service.main = supervise,
                    Part::Log => service.log = Some(supervise),
                }
            }
        }
    }

    /// Tells every service to stop and its supervise to exit. Loggers are only told to exit when they end,
    /// which they do when nobody holds the other end of their pipe any more.
    fn begin_to_end(&mut self) {
        self.ending = Some(Ending::begin(self.now()));
        self.pipes.clear();
        for service in self.services.values() {
            tell(service, Part::Main, b"dx");
            tell(service, Part::Log, b"x");
        }
    }

    fn press_on(&mut self, ending: Ending, hurry: bool) {
        if !ending.must_kill(self.now(), hurry) {
            return;
        }
        self.ending = Some(Ending::Killing);
        let late: Vec<_> = self.services.values().filter(|service| !service.is_idle()).cloned().collect();
        for service in late {
            self.warn(&[b"killing ", service.name.as_bytes(), b": it did not stop in time"]);
            tell(&service, Part::Main, b"dxk");
            tell(&service, Part::Log, b"dxk");
        }
    }
}

/// Starts a supervise; `None` where one that is not ours runs already and is to be waited for.
fn start(service: &Service, part: Part, pipe: Option<&Pipe>) -> io::Result<Option<i32>> {
    if client::is_running(&directory(service, part)).unwrap_or(false) {
        return Ok(None);
    }
    let mut command = Command::new(names::SUPERVISE);
    match part {
        Part::Main => {
            command.arg(&service.name);
            if let Some(pipe) = pipe {
                command.stdout(Stdio::from(pipe.write.try_clone()?));
            }
        }
        Part::Log => {
            command.arg(names::LOG).current_dir(&service.name);
            if let Some(pipe) = pipe {
                command.stdin(Stdio::from(pipe.read.try_clone()?));
            }
        }
    }
    let child = command.spawn()?;
    // Children are reaped by `collect`; the handle itself holds nothing.
    i32::try_from(child.id()).map(Some).map_err(|_| Errno::ERANGE.into())
}

/// Sends letters to a supervise. One that has no ears yet has no child either: TERM ends it.
fn tell(service: &Service, part: Part, letters: &[u8]) {
    let heard = client::send(&directory(service, part), letters).is_ok();
    if let (false, Some(Supervise::Running { pid, .. })) = (heard, service.part(part)) {
        // One that has just ended needs no telling.
        let _ = process::signal_child(pid, Signal::SIGTERM);
    }
}

fn directory(service: &Service, part: Part) -> PathBuf {
    match part {
        Part::Main => PathBuf::from(&service.name),
        Part::Log => Path::new(&service.name).join(names::LOG),
    }
}

fn word(e: &io::Error) -> String {
    Words(e).to_string()
}
