//! The loop around the machine: waits for a letter, a signal, the end of a child or a deadline, and has performed
//! what the machine decides. It decides nothing itself.

use crate::child::{self, Child};
use crate::machine::{Event, Machine, Moment, Rules, State};
use crate::notify::Notifier;
use crate::saying::Saying;
use crate::settings::{self, Reading, Settings};
use nix::poll::{PollFd, PollFlags, poll};
use servicedir::control::Command;
use servicedir::errand::{self, Errand, Id};
use servicedir::names;
use servicedir::station::{Station, Trouble};
use servicedir::status::{self, Want};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use unix::awake::Awake;
use unix::fds;
use unix::process::{self, Exit, Identity, Signal};
use unix::tai64n::Tai64n;
use unix::words::Words;

/// How long to wait before a status that could not be written is written again.
const RECORD_AGAIN: Duration = Duration::from_secs(5);

/// Why supervise cannot start: the end of its line, whose names may be any bytes.
pub struct Fatal(pub Vec<u8>);

/// One service directory under supervision.
pub struct Supervisor {
    pub(crate) dir: Vec<u8>,
    pub(crate) station: Station,
    awake: Awake,
    pub(crate) machine: Machine,
    pub(crate) child: Option<Child>,
    /// The child that an earlier supervise left has ended, and what that means is still to be decided.
    ended_unseen: bool,
    /// Where the child says that it is ready.
    pub(crate) ready: Option<OwnedFd>,
    pub(crate) settings: Settings,
    pub(crate) reading: Option<(Reading, Moment)>,
    pub(crate) notifier: Notifier,
    pub(crate) saying: Saying,
    pub(crate) own: Option<Identity>,
    pub(crate) since: Tai64n,
    pub(crate) ready_since: Option<Tai64n>,
    pub(crate) last_exit: Option<Exit>,
    /// How ./start ended, where ./run has not run since.
    pub(crate) start_exit: Option<Exit>,
    /// There was a ./start before this run.
    pub(crate) had_start: bool,
    /// Starts that nobody asked for.
    pub(crate) restarts: u32,
    pub(crate) unrecorded: bool,
    /// Both ends of the pipe of a log pair.
    pub(crate) pair: Option<OwnedFd>,
}

impl Supervisor {
    /// Goes to `dir`, takes it, and adopts its service if that outlived an earlier supervise.
    pub fn open(dir: &OsStr) -> Result<Self, Fatal> {
        let name = dir.as_bytes();
        let fatal = |verb: &str, file: &str, e: &io::Error| Fatal(sentence(name, verb, file, Words(e)));
        let errand = std::env::var_os(errand::VARIABLE).and_then(|value| Errand::parse(&value));
        std::env::set_current_dir(dir)
            .and_then(|()| must_be_home(errand))
            .map_err(|e| fatal("chdir to", "", &e))?;
        let awake =
            Awake::by(&[Signal::SIGCHLD, Signal::SIGTERM]).map_err(|e| fatal("catch signals for", "", &e))?;
        let down = match std::fs::metadata(names::DOWN) {
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::NotFound => false,
            Err(e) => return Err(fatal("stat", names::DOWN, &e)),
        };
        let own = Identity::own().ok();
        let station = Station::open(own.as_ref()).map_err(|t| Fatal(t.sentence(name)))?;
        unix::launch::hide_variable(errand::VARIABLE);
        let mut supervisor = Self {
            dir: name.to_vec(),
            station,
            awake,
            machine: Machine::new(if down { Want::Down } else { Want::Up }, chance()),
            child: None,
            ended_unseen: false,
            ready: None,
            settings: Settings::default(),
            reading: None,
            notifier: Notifier::default(),
            saying: Saying::default(),
            own,
            since: Tai64n::now(),
            ready_since: None,
            last_exit: None,
            start_exit: None,
            had_start: false,
            restarts: 0,
            unrecorded: false,
            pair: errand.and_then(|errand| pair(errand.pipe?)),
        };
        supervisor.inherit();
        Ok(supervisor)
    }

    /// Goes on where an earlier supervise was killed: with its child, if that lives, and with what was wanted.
    fn inherit(&mut self) {
        let boot_id = self.own.map(|own| own.boot_id);
        let Some((status, child)) = child::legacy(&self.station, boot_id) else { return };
        let Some(more) = &status.more else { return };
        self.last_exit = more.last_exit;
        let start_time = more.identity.map_or(0, |identity| identity.start_time);
        let uptime = Duration::from_millis(process::boot_ticks().saturating_sub(start_time) * 10);
        match child::inherited_state(&status, self.now(), uptime) {
            Some(state) => {
                let started = self.now().saturating_sub(uptime);
                self.machine = Machine::adopting(state, status.want, started, chance());
                self.since = status.since;
                self.ready_since = more.ready;
                self.ended_unseen = child.is_none();
                self.child = child;
                self.settle_in_passing();
            }
            // There was none. What an operator wanted still holds.
            None => {
                self.machine = Machine::new(status.want, chance());
                if more.state == status::State::Failed {
                    self.machine.state = State::Down { failed: true };
                }
            }
        }
        self.machine.prepared |= more.prepared;
    }

    /// Reads the settings of a service that runs already.
    fn settle_in_passing(&mut self) {
        if let Some(event) = self.settle() {
            let (machine, _) = self.machine.step(self.now(), event);
            self.machine = machine;
        }
    }

    /// Supervises until told to exit.
    pub fn run(mut self) -> Result<(), Fatal> {
        if !self.ended_unseen {
            self.record();
        }
        loop {
            for event in self.events() {
                if self.handle(event) {
                    return Ok(());
                }
            }
            if self.unrecorded {
                self.record();
            }
            self.notify_what_is_due();
            self.wait().map_err(|e| Fatal(sentence(&self.dir, "wait for", "", Words(&e))))?;
        }
    }

    /// A point of the clock that nobody can set.
    pub(crate) fn now(&self) -> Moment {
        unix::clock::monotonic()
    }

    /// Waits until there is something to do, however long that takes.
    fn wait(&self) -> io::Result<()> {
        let ended = self.child.as_ref().and_then(Child::ended);
        let ready = self.ready.as_ref().map(AsFd::as_fd);
        let settings = self.reading.as_ref().and_then(|(reading, _)| reading.output());
        let mut fds = vec![PollFd::new(self.station.control(), PollFlags::POLLIN)];
        let more = [ended, ready, settings].into_iter().flatten();
        fds.extend(more.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let now = self.now();
        let reading = self.reading.as_ref().map(|(_, until)| *until);
        let again = self.unrecorded.then_some(now + RECORD_AGAIN);
        let deadlines = [self.machine.deadline(), reading, self.notifier.deadline(), again];
        let next = deadlines.into_iter().flatten().min();
        self.awake.wait(&mut fds, next.map(|at| at.saturating_sub(now)))
    }

    /// What has happened since the last look.
    fn events(&mut self) -> Vec<Event> {
        let mut events = vec![];
        let terminated = self.awake.take().any(|signal| signal == Signal::SIGTERM);
        self.bury(&mut events);
        if self.said_ready() {
            self.ready_since = Some(Tai64n::now());
            events.push(Event::Ready);
        }
        events.extend(self.read_settings());
        // What is done then is done by the settings.
        if self.reading.is_none() && std::mem::take(&mut self.ended_unseen) {
            events.push(self.buried(Exit::Unknown));
        }
        let mut letters = [0; 64];
        let letters = self.station.letters(&mut letters).iter().copied();
        events.extend(letters.filter_map(Command::from_letter).map(Event::Command));
        if terminated {
            events.extend([Command::Down, Command::Exit].map(Event::Command));
        }
        events.push(Event::Due);
        events
    }

    /// Reaps whatever has ended.
    fn bury(&mut self, events: &mut Vec<Event>) {
        if let Some(child) = self.child.as_ref().filter(|child| child.group && child.awaits_burial()) {
            child.bury_group();
        }
        while let Some((pid, exit)) = process::reap() {
            if self.child.as_ref().is_some_and(|child| !child.adopted() && child.pid == pid) {
                events.push(self.buried(exit));
            } else if let Some((reading, _)) = self.reading.as_mut().filter(|(reading, _)| reading.pid == pid)
            {
                reading.buried(exit);
            } else if let Some(failure) = self.notifier.buried(pid, exit) {
                self.warn(&[failure.as_bytes(), b" for ", &self.dir].concat());
            }
        }
        if self.adopted_child_ended() {
            if let Some(child) = &self.child {
                child.bury_group();
            }
            events.push(self.buried(Exit::Unknown));
        }
    }

    fn buried(&mut self, exit: Exit) -> Event {
        self.child = None;
        self.ready = None;
        if matches!(self.machine.state, State::Starting(_)) {
            self.start_exit = Some(exit).filter(|exit| *exit != Exit::Code(0));
        }
        if self.machine.pid_of_service().is_some() {
            (self.last_exit, self.start_exit) = (Some(exit), None);
            self.since = Tai64n::now();
            self.ready_since = None;
        }
        Event::Exited(exit)
    }

    fn adopted_child_ended(&self) -> bool {
        let Some(fd) = self.child.as_ref().and_then(Child::ended) else { return false };
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut fds, 0u8).is_ok_and(|ready| ready > 0)
    }

    /// Whether the service has written a newline to its notification descriptor. When it closes that without
    /// one, it will never say so.
    fn said_ready(&mut self) -> bool {
        let Some(pipe) = &self.ready else { return false };
        let mut buffer = [0; 64];
        let said = match io::PipeReader::from(match pipe.try_clone() {
            Ok(copy) => copy,
            Err(_) => return false,
        })
        .read(&mut buffer)
        {
            Ok(0) => None,
            Ok(n) => Some(buffer[..n].contains(&b'\n')),
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => Some(false),
            Err(_) => None,
        };
        if said != Some(false) {
            self.ready = None;
        }
        said == Some(true)
    }

    /// Has the settings read where they have changed. `Some` = they are known already.
    pub(crate) fn settle(&mut self) -> Option<Event> {
        if self.reading.is_some() {
            return None;
        }
        if !self.settings.are_stale() {
            return Some(self.settled());
        }
        match Reading::start(&self.dir) {
            Ok(reading) => {
                self.reading = Some((reading, self.now() + settings::LIMIT));
                None
            }
            Err(e) => {
                let words = format!("unable to run service-config for {}: {}", self.name(), Words(&e));
                self.warn(format!("{words} (the service goes on with the settings it had)").as_bytes());
                Some(self.settled())
            }
        }
    }

    fn settled(&self) -> Event {
        let mut rules = Rules::from(&self.settings.policy);
        // An adopted one has lost the other end of its notification descriptor.
        rules.says_ready &= !self.child.as_ref().is_some_and(Child::adopted);
        Event::Settled(rules)
    }

    fn read_settings(&mut self) -> Option<Event> {
        let now = self.now();
        let (reading, until) = self.reading.as_mut()?;
        reading.listen();
        let late = *until <= now;
        let result = reading.result();
        if result.is_none() && !late {
            return None;
        }
        if late {
            reading.kill();
            let words = format!("service-config takes too long for {}", self.name());
            self.warn(format!("{words} (the service goes on with the settings it had)").as_bytes());
        }
        if let Some(policy) = result.flatten() {
            self.settings.policy = policy;
        }
        self.reading = None;
        Some(self.settled())
    }

    /// Lets the machine decide about `event` and performs what it decides, the events that this brings forth
    /// included. True = quit.
    fn handle(&mut self, event: Event) -> bool {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let (machine, actions) = self.machine.step(self.now(), event);
            self.machine = machine;
            if machine.leaving {
                // A logger ends when its pipe does: that must not wait for us.
                self.pair = None;
            }
            for action in actions {
                if self.perform(action, &mut events) {
                    return true;
                }
            }
        }
        false
    }

    pub(crate) fn warn(&mut self, sentence: &[u8]) {
        self.say(&[b"supervise: warning: ", sentence].concat());
    }

    pub(crate) fn say(&mut self, line: &[u8]) {
        let now = self.now();
        self.saying.say(now, line);
    }

    /// The directory as it was given, for sentences that are text.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.dir).into_owned()
    }
}

/// Any number.
fn chance() -> u32 {
    std::process::id().wrapping_mul(2_654_435_769) ^ unix::clock::monotonic().subsec_nanos()
}

/// A service that svscan meant may be called otherwise by now, and this be another one. (svscan sees to it itself for a
/// logger, whose supervise it starts in the service's directory.)
fn must_be_home(errand: Option<Errand>) -> io::Result<()> {
    match errand.filter(|errand| !errand.is_for_logger()) {
        Some(errand) if errand.service != Id::of(&std::fs::metadata(".")?) => {
            Err(io::Error::other("it has just become another directory"))
        }
        _ => Ok(()),
    }
}

/// Both ends of the pair's pipe that this standard descriptor leads to. Without them all works, but the pipe
/// lives no longer than svscan.
fn pair(fd: i32) -> Option<OwnedFd> {
    match fd {
        0 => fds::whole_pipe(io::stdin()).ok(),
        _ => fds::whole_pipe(io::stdout()).ok(),
    }
}

/// `unable to VERB DIR/FILE: REASON`.
pub(crate) fn sentence(dir: &[u8], verb: &str, file: &str, reason: impl Display) -> Vec<u8> {
    let slash = if file.is_empty() { "" } else { "/" };
    [format!("unable to {verb} ").as_bytes(), dir, format!("{slash}{file}: {reason}").as_bytes()].concat()
}

pub(crate) trait Sentence {
    fn sentence(&self, dir: &[u8]) -> Vec<u8>;
}

impl Sentence for Trouble {
    fn sentence(&self, dir: &[u8]) -> Vec<u8> {
        sentence(dir, self.verb, self.file, Words(&self.error))
    }
}
