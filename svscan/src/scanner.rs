//! The loop: waits for a change, a signal, an end or a deadline; tells the plan; does what the plan says.

use crate::found::{Found, Occupant};
use crate::listing;
use crate::pair::{Pairs, Witness};
use crate::plan::{
    Action, End, Event, Id, Moment, Notice, Part, Place, Plan, SCAN, SPACING, Service, Supervise,
};
use crate::starter::{Starter, directory};
use crate::warnings::Warnings;
use crate::watch::Watch;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;
use unix::process::{self, Exit};
use unix::signals::SignalPipe;

/// What svscan listens to: signals, the watch, and, by its pid, the end of a found supervise.
const SIGNALS: u64 = u64::MAX;
const WATCH: u64 = u64::MAX - 1;

/// svscan at work in its scan directory, the working directory.
pub struct Scanner {
    born: Instant,
    ears: Epoll,
    signals: SignalPipe,
    watch: Option<Watch>,
    pub(crate) plan: Plan,
    pub(crate) found: Found,
    pub(crate) pairs: Pairs,
    starter: Starter,
    pub(crate) warnings: Warnings,
    next_scan: Option<Moment>,
    scanned: Moment,
    late_logs: BTreeSet<Id>,
    /// Whether a child may have ended: asking the kernel takes as long as there are children.
    bereaved: bool,
    wish: Wish,
}

/// What somebody wants of svscan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    None,
    /// End, or hurry up with it.
    End,
}

impl Scanner {
    /// Gets ready to scan.
    ///
    /// # Errors
    /// What the system calls for that report.
    pub fn new() -> io::Result<Self> {
        let signals = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|s| s as i32);
        let mut scanner = Self {
            born: Instant::now(),
            ears: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            signals: SignalPipe::new(&signals)?,
            watch: None,
            plan: Plan::default(),
            found: Found::left_behind(),
            pairs: Pairs::default(),
            starter: Starter::new()?,
            warnings: Warnings::default(),
            next_scan: Some(Moment::ZERO),
            scanned: Moment::ZERO,
            late_logs: BTreeSet::new(),
            // What was svscan's process before may have left it children.
            bereaved: true,
            wish: Wish::None,
        };
        scanner.ears.add(&scanner.signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        // Orphans of a supervise that is killed come to us; without that they go to init, and all else works.
        if let Err(e) = process::become_subreaper() {
            scanner.unable("become a subreaper", b"", &e);
        }
        match Watch::here() {
            Ok(watch) => {
                scanner.ears.add(&watch, EpollEvent::new(EpollFlags::EPOLLIN, WATCH))?;
                scanner.watch = Some(watch);
            }
            Err(e) => {
                scanner.unable("watch the directory (a change is noticed within five seconds)", b"", &e)
            }
        }
        Ok(scanner)
    }

    /// Scans until told to end, then ends in order; returns the exit code.
    pub fn run(mut self) -> u8 {
        loop {
            self.scan_if_called_for();
            self.do_what_is_due();
            self.wait(self.next());
            self.collect();
            if self.wish() == Wish::End {
                return self.end();
            }
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.born.elapsed()
    }

    pub(crate) fn unable(&mut self, verb: &str, object: &[u8], e: &io::Error) {
        self.warnings.unable(self.born.elapsed(), verb, object, e);
    }

    /// When there is something to do that nobody will announce.
    fn next(&self) -> Option<Moment> {
        let scan = self.next_scan.into_iter().chain(self.watch.as_ref().and_then(Watch::scan_at));
        let nap = self.starter.nap().map(|nap| self.now() + nap);
        let start = self.plan.next_start().filter(|_| self.starter.room() > 0);
        scan.chain(nap).chain(start).chain(self.plan.next_look()).min()
    }

    /// Waits until something is announced, or until then.
    pub(crate) fn wait(&mut self, until: Option<Moment>) {
        let timeout = match until.map(|at| at.saturating_sub(self.now()).as_millis()) {
            None => EpollTimeout::NONE,
            Some(0) => EpollTimeout::ZERO,
            // Rounded up: a deadline is never early.
            Some(left) => EpollTimeout::try_from(left + 1).unwrap_or(EpollTimeout::MAX),
        };
        let mut events = [EpollEvent::empty(); 64];
        let heard = self.ears.wait(&mut events, timeout);
        let now = self.now();
        // Interrupted by a signal, which is looked at before a deadline that may have come meanwhile.
        let heard = heard.unwrap_or_else(|_| {
            self.take_signals(now);
            0
        });
        for event in &events[..heard] {
            match event.data() {
                SIGNALS => self.take_signals(now),
                WATCH => self.look_at_changes(now),
                pid => self.found_ended(now, pid),
            }
        }
    }

    fn look_at_changes(&mut self, now: Moment) {
        let late = self.watch.as_mut().map(|watch| watch.take(now)).unwrap_or_default();
        late.into_iter().for_each(|id| self.tell_of_late_log(id));
        if self.watch.as_ref().is_some_and(Watch::is_lost) {
            self.watch = None;
            self.next_scan = Some(now);
        }
    }

    fn found_ended(&mut self, now: Moment, pid: u64) {
        let place = i32::try_from(pid).ok().and_then(|pid| self.found.ended(pid));
        if let Some(place) = place {
            // Its descriptor is closed, and with that taken off the ears.
            self.tell(now, Event::Gone(place));
        }
    }

    /// Buries children: supervises of ours, and orphans that came to us.
    pub(crate) fn collect(&mut self) {
        if !std::mem::take(&mut self.bereaved) {
            return;
        }
        let now = self.now();
        while let Some((pid, exit)) = process::reap() {
            let end = match exit {
                Exit::Code(0) => End::Done,
                Exit::Code(_) => End::Failed,
                Exit::Signal(_) | Exit::Unknown => End::Killed,
            };
            self.tell(now, Event::Ended(pid, end));
        }
    }

    fn take_signals(&mut self, now: Moment) {
        for signal in self.signals.take().collect::<Vec<_>>() {
            match Signal::try_from(signal) {
                Ok(Signal::SIGCHLD) => self.bereaved = true,
                Ok(Signal::SIGHUP) => {
                    self.next_scan = Some(now);
                    self.tell(now, Event::Asked);
                }
                Ok(Signal::SIGTERM | Signal::SIGINT) => self.wish = Wish::End,
                _ => {}
            }
        }
    }

    /// What the signals that have come ask for; told once.
    pub(crate) fn wish(&mut self) -> Wish {
        std::mem::replace(&mut self.wish, Wish::None)
    }

    fn scan_if_called_for(&mut self) {
        let now = self.now();
        let mut called = self.next_scan.into_iter().chain(self.watch.as_ref().and_then(Watch::scan_at));
        // What is started again must still be there.
        let start = self.plan.next_start().is_some_and(|at| at <= now) && self.scanned + SPACING <= now;
        if start || called.any(|at| at <= now) {
            self.scan(now);
        }
    }

    /// Reads the directory and takes up what is new.
    pub(crate) fn scan(&mut self, now: Moment) {
        let (plan, watch) = (&self.plan, self.watch.as_ref());
        let known = |id| plan.service(id).is_some();
        let fresh = |name: &_| watch.is_some_and(|watch| watch.is_fresh(name, now));
        let listing = listing::read(known, fresh);
        self.next_scan = Some(now + SCAN);
        self.scanned = now;
        if let Some(watch) = &mut self.watch {
            watch.scanned(now);
        }
        let listing = match listing {
            Ok(listing) => listing,
            Err(e) => return self.unable("read directory", b"", &e),
        };
        if self.watch.is_some() && listing.troubles.is_empty() && !listing.links {
            self.next_scan = None;
        }
        for (name, e) in listing.troubles {
            self.unable("stat", name.as_bytes(), &e);
        }
        self.tell(now, Event::Scanned(listing.services));
    }

    fn do_what_is_due(&mut self) {
        let now = self.now();
        let plan = &self.plan;
        let runs = |(id, part): Place| {
            matches!(plan.service(id).and_then(|s| s.part(part)), Some(Supervise::Running { .. }))
        };
        let up = self.starter.come_up(now, runs);
        up.into_iter().for_each(|place| self.has_come_up(place));
        self.tell(now, Event::Tick { room: self.starter.room() });
    }

    /// Lets the plan know, and does what it wants done.
    pub(crate) fn tell(&mut self, now: Moment, event: Event) {
        for action in self.plan.step(now, event) {
            let report = match action {
                Action::Start(place) => self.start(now, place),
                Action::Look(place) => self.look(place).unwrap_or(Event::Gone(place)),
                Action::Forget(id) => {
                    self.pairs.forget(id);
                    self.late_logs.remove(&id);
                    continue;
                }
            };
            // A report asks for nothing.
            let _ = self.plan.step(now, report);
        }
    }

    /// Starts the supervise of a place unless one runs there.
    fn start(&mut self, now: Moment, place: Place) -> Event {
        self.regain_what_was_left(place.0);
        if let Some(busy) = self.look(place) {
            self.has_come_up(place);
            return busy;
        }
        let Some((name, has_log)) = self.plan.service(place.0).map(|s| (s.name.clone(), s.has_log())) else {
            return Event::NotStarted(place);
        };
        let end = match has_log.then(|| self.end_of_pipe(place, Path::new(&name))).transpose() {
            Ok(end) => end,
            Err(e) => {
                self.unable("create pipe for", name.as_bytes(), &e);
                return Event::NotStarted(place);
            }
        };
        match self.starter.start(now, place, &name, end) {
            Ok(pid) => Event::Started(place, pid),
            Err(e) => {
                self.unable("start supervise", directory(&name, place.1).as_os_str().as_bytes(), &e);
                Event::NotStarted(place)
            }
        }
    }

    /// Before anybody else is asked: of what has not come to take its lock nobody else knows.
    fn regain_what_was_left(&mut self, id: Id) {
        let parts = self.plan.service(id).filter(|service| service.has_log()).map(Service::parts);
        for (part, _) in parts.into_iter().flatten() {
            if let Some((who, pidfd)) = self.found.left((id, part)) {
                self.pairs.regain(id, Witness { part, pid: who.pid, pidfd: Some(&pidfd) });
            }
        }
    }

    /// Looks whether somebody else's supervise runs in a place.
    pub(crate) fn look(&mut self, place: Place) -> Option<Event> {
        let dir = directory(&self.plan.service(place.0)?.name, place.1);
        let notice = match self.found.occupant(place, &dir) {
            Occupant::Nobody => return None,
            Occupant::Unknown => Notice::Unannounced,
            Occupant::Known(who, pidfd) => {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, who.pid as u64); // a pid is positive
                match self.ears.add(pidfd.as_fd(), event) {
                    Ok(()) => self.found.add(place, who, pidfd),
                    Err(_) => Notice::Unannounced,
                }
            }
        };
        Some(Event::Busy(place, notice))
    }

    fn end_of_pipe(&mut self, place: Place, dir: &Path) -> io::Result<std::os::fd::OwnedFd> {
        let (id, part) = place;
        let other = match part {
            Part::Main => Part::Log,
            Part::Log => Part::Main,
        };
        let witness = witness(&self.plan, &self.found, (id, other));
        self.pairs.end(id, part, witness, dir)
    }

    /// A supervise has come up, or was found up.
    fn has_come_up(&mut self, place: Place) {
        let (id, part) = place;
        let Some(service) = self.plan.service(id) else { return };
        if service.has_log() {
            if let Some(witness) = witness(&self.plan, &self.found, place) {
                self.pairs.regain(id, witness);
            }
        } else if part == Part::Main
            && let Some(watch) = &mut self.watch
        {
            watch.log_of(id, Path::new(&service.name));
            self.tell_of_late_log(id);
        }
    }

    /// Says that a `log` which appeared after its service takes no effect.
    fn tell_of_late_log(&mut self, id: Id) {
        let Some(service) = self.plan.service(id).filter(|service| service.listed) else { return };
        let name = service.name.clone();
        if listing::has_log(Path::new(&name)).unwrap_or(false) && self.late_logs.insert(id) {
            let rest = b"/log appeared after the service and is not supervised (remove the service and add it again)";
            let now = self.now();
            self.warnings.tell(now, &[name.as_bytes(), rest].concat());
        }
    }
}

/// The supervise of a place, if its pid is known.
fn witness<'a>(plan: &Plan, found: &'a Found, place: Place) -> Option<Witness<'a>> {
    let (id, part) = place;
    if let Supervise::Running { pid, .. } = plan.service(id)?.part(part)? {
        return Some(Witness { part, pid, pidfd: None });
    }
    found.get(place).map(|(pid, pidfd)| Witness { part, pid, pidfd: Some(pidfd) })
}
