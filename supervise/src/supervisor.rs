//! The loop around the machine: waits for a letter, a signal, the end of the child or a deadline, and performs
//! what the machine decides. It decides nothing itself.

use crate::child::Child;
use crate::machine::{Action, Event, Machine, Moment, State};
use crate::say;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use servicedir::control::Command;
use servicedir::errand::{self, Errand};
use servicedir::names;
use servicedir::station::{Station, Trouble};
use servicedir::status::{self, More, Status};
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};
use unix::fds;
use unix::gated::Program;
use unix::process::{self, Exit};
use unix::signals::SignalPipe;
use unix::tai64n::Tai64n;
use unix::words::Words;

/// How long to wait before a status that could not be written is written again.
const RECORD_AGAIN: Duration = Duration::from_secs(5);

/// Why supervise cannot start: the end of its line, whose names may be any bytes.
pub struct Fatal(pub Vec<u8>);

/// One service directory under supervision.
pub struct Supervisor {
    dir: Vec<u8>,
    station: Station,
    signals: SignalPipe,
    program: Program,
    born: Instant,
    machine: Machine,
    child: Option<Child>,
    since: Tai64n,
    last_exit: Option<Exit>,
    starts: u32,
    unrecorded: bool,
    /// Both ends of the pipe of a log pair.
    pair: Option<OwnedFd>,
}

impl Supervisor {
    /// Goes to `dir`, takes it, and adopts its service if that outlived an earlier supervise. `None` where the
    /// svscan that started us has died before that: the next one cannot know of us.
    pub fn open(dir: &OsStr) -> Result<Option<Self>, Fatal> {
        let name = dir.as_bytes();
        let fatal = |verb: &str, file: &str, e: &io::Error| Fatal(sentence(name, verb, file, Words(e)));
        std::env::set_current_dir(dir).map_err(|e| fatal("chdir to", "", &e))?;
        let signals = SignalPipe::new(&[Signal::SIGCHLD as i32, Signal::SIGTERM as i32])
            .map_err(|e| fatal("create pipe for", "", &e))?;
        let down = match std::fs::metadata(names::DOWN) {
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::NotFound => false,
            Err(e) => return Err(fatal("stat", names::DOWN, &e)),
        };
        let station = Station::open().map_err(|t| Fatal(t.sentence(name)))?;
        let errand = std::env::var_os(errand::VARIABLE).and_then(|value| Errand::parse(&value));
        if errand.is_some_and(|errand| !errand.svscan_lives()) {
            return Ok(None);
        }
        let adopted = Child::adopt();
        let machine = match &adopted {
            Some((child, status)) => Machine::adopting(child.pid(), status.paused, status.want),
            None => Machine::new(down),
        };
        Ok(Some(Self {
            dir: name.to_vec(),
            station,
            signals,
            program: program(name),
            born: Instant::now(),
            machine,
            since: adopted.as_ref().map_or_else(Tai64n::now, |(_, status)| status.since),
            child: adopted.map(|(child, _)| child),
            last_exit: None,
            starts: 0,
            unrecorded: false,
            pair: errand.and_then(|errand| pair(errand.pipe?)),
        }))
    }

    /// Supervises until told to exit.
    pub fn run(mut self) -> Result<(), Fatal> {
        self.record();
        loop {
            for event in self.events() {
                if self.handle(event) {
                    return Ok(());
                }
            }
            if self.unrecorded {
                self.record();
            }
            self.wait().map_err(|e| Fatal(sentence(&self.dir, "wait for", "", Words(&e))))?;
        }
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Waits until there is something to do, however long that takes.
    fn wait(&self) -> io::Result<()> {
        let ended = self.child.as_ref().and_then(Child::ended);
        let mut fds = vec![
            PollFd::new(self.station.control(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(ended.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let deadline = self.machine.deadline().map(|at| at.saturating_sub(self.now()));
        let again = self.unrecorded.then_some(RECORD_AGAIN);
        let timeout = match deadline.into_iter().chain(again).min() {
            None => PollTimeout::NONE,
            // Rounded up: a deadline is never early.
            Some(left) => PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX),
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What has happened since the last look.
    fn events(&mut self) -> Vec<Event> {
        let mut events = vec![];
        let terminated = self.signals.take().any(|signal| signal == Signal::SIGTERM as i32);
        while let Some((pid, exit)) = process::reap() {
            if self.child.as_ref().is_some_and(|child| !child.adopted() && child.pid() == pid) {
                self.buried(exit);
                events.push(Event::Exited);
            }
        }
        if self.adopted_child_ended() {
            self.buried(Exit::Unknown);
            events.push(Event::Exited);
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

    fn buried(&mut self, exit: Exit) {
        self.child = None;
        self.last_exit = Some(exit);
        self.since = Tai64n::now();
    }

    fn adopted_child_ended(&self) -> bool {
        let Some(fd) = self.child.as_ref().and_then(Child::ended) else { return false };
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
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
                match action {
                    Action::Start => events.push_back(self.start()),
                    Action::Record => self.record(),
                    Action::Release => self.child.iter_mut().for_each(Child::release),
                    Action::Send(signal) => self.signal(signal),
                    Action::Quit => return true,
                }
            }
        }
        false
    }

    fn start(&mut self) -> Event {
        match self.program.fork() {
            Ok(gate) => {
                let child = Child::gated(gate);
                let pid = child.pid();
                self.child = Some(child);
                self.since = Tai64n::now();
                self.starts = self.starts.saturating_add(1);
                Event::Started { pid }
            }
            Err(e) => {
                self.warn(&sentence(&self.dir, "fork for", "", Words(&e)));
                Event::NotStarted
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // A child that has just ended is reported by its exit; there is nobody else to whom this could go.
        if let Some(child) = &self.child
            && let Err(e) = child.signal(signal)
            && e.raw_os_error() != Some(Errno::ESRCH as i32)
        {
            self.warn(&sentence(&self.dir, "signal", "", Words(&e)));
        }
    }

    /// Writes the status. While that is not possible it is said once, and tried again every few seconds.
    fn record(&mut self) {
        let result = self.station.write_status(&self.status());
        if let Err(trouble) = &result
            && !self.unrecorded
        {
            self.warn(&trouble.sentence(&self.dir));
        }
        self.unrecorded = result.is_err();
    }

    fn status(&self) -> Status {
        let (state, pid, paused) = match self.machine.state {
            State::Down | State::Starting => (status::State::Down, None, false),
            State::Backoff { .. } => (status::State::Backoff, None, false),
            State::Up { pid, paused } => (status::State::Up, Some(pid), paused),
        };
        let until = self.machine.deadline().map(|at| at.saturating_sub(self.now()));
        Status {
            since: self.since,
            pid,
            paused,
            want: self.machine.want,
            more: Some(More {
                state,
                adopted: self.child.as_ref().is_some_and(Child::adopted),
                restarts: self.starts.saturating_sub(1),
                last_exit: self.last_exit,
                ready: None,
                backoff_until: until.map(|left| (std::time::SystemTime::now() + left).into()),
                identity: self.child.as_ref().and_then(Child::identity),
            }),
        }
    }

    fn warn(&self, sentence: &[u8]) {
        say(&[b"supervise: warning: ", sentence].concat());
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

/// `./run`, and the line its child writes when that cannot be executed.
fn program(dir: &[u8]) -> Program {
    let complaint = [b"supervise: fatal: ".as_slice(), &sentence(dir, "start", names::RUN, "")].concat();
    // The directory's name came in as an argument: it holds no NUL.
    Program::new(c"./run".into(), CString::new(complaint).unwrap_or_default(), errand::VARIABLE)
}

/// `unable to VERB DIR/FILE: REASON`.
fn sentence(dir: &[u8], verb: &str, file: &str, reason: impl Display) -> Vec<u8> {
    let slash = if file.is_empty() { "" } else { "/" };
    [format!("unable to {verb} ").as_bytes(), dir, format!("{slash}{file}: {reason}").as_bytes()].concat()
}

trait Sentence {
    fn sentence(&self, dir: &[u8]) -> Vec<u8>;
}

impl Sentence for Trouble {
    fn sentence(&self, dir: &[u8]) -> Vec<u8> {
        sentence(dir, self.verb, self.file, Words(&self.error))
    }
}
