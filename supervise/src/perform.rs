//! What the machine asks for, done: launching, signalling, recording.

use crate::child::Child;
use crate::machine::{Action, Event, Script, State};
use crate::supervisor::{Sentence, Supervisor, sentence};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use servicedir::names;
use servicedir::policy::RESOURCES;
use servicedir::station::{Station, Unwritten};
use servicedir::status::{self, More, Status};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;
use unix::fds;
use unix::launch::{Launch, Step};
use unix::process::{Exit, Identity, Signal};
use unix::tai64n::Tai64n;
use unix::words::Words;

impl Supervisor {
    /// Does what is asked for; what that brings forth is added to `events`. True = quit.
    pub(crate) fn perform(&mut self, action: Action, events: &mut VecDeque<Event>) -> bool {
        match action {
            Action::Settle => events.extend(self.settle()),
            Action::Launch(script) => events.push_back(self.launch(script)),
            Action::Record => self.record(),
            Action::Send(signal) => self.signal(signal, Child::signal),
            Action::SendAll(signal) => self.signal(signal, Child::signal_all),
            Action::Kill => self.kill(),
            Action::Tell(trouble) => {
                let now = self.now();
                let exit = self.start_exit.or(self.last_exit);
                self.notifier.tell(trouble, exit, self.machine.failures, now);
            }
            Action::Quit => {
                // Whoever comes after us is to know that we ended in order.
                self.own = None;
                self.record();
                if let Some((reading, _)) = &self.reading {
                    reading.kill();
                }
                return true;
            }
        }
        false
    }

    fn launch(&mut self, script: Script) -> Event {
        if self.is_absent(script) {
            return Event::Absent;
        }
        let (read, write) = self.notification_pipe(script).unzip();
        let policy = &self.settings.policy;
        let (words, environment) =
            (words(script, self.last_exit, &self.dir), variables(policy.ready, &write));
        let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
        let descriptors: Vec<(BorrowedFd<'_>, i32)> =
            write.iter().zip(policy.ready).map(|(fd, number)| (fd.as_fd(), number)).collect();
        let limits: Vec<_> =
            policy.limits.iter().map(|limit| (limit.resource, limit.soft, limit.hard)).collect();
        let launch = Launch {
            words: &words,
            environment: &environment,
            session: policy.stop.group,
            descriptors: &descriptors,
            limits: &limits,
        };
        let (mut newborn, mut identity) = (self.newborn(script), None);
        // Without /proc there is no boot id either, and nothing that could be adopted.
        let boot_id = self.own.map(|own| own.boot_id);
        let mut recorded = Ok(());
        self.station.unmark();
        let station = &self.station;
        let launched = launch.start(&mut |pid, start_time| {
            if let Some(boot_id) = boot_id {
                identity = Some(Identity { pid, start_time: start_time?, boot_id });
            }
            put_name(&mut newborn, script, pid, identity);
            recorded = station.write_status(&newborn);
            recorded.as_ref().map_or_else(Unwritten::nowhere, |()| Ok(()))
        });
        let launched = match launched {
            Ok(launched) => launched,
            Err(e) => {
                self.warn(&sentence(&self.dir, "fork for", "", Words(&e)));
                return Event::NotLaunched;
            }
        };
        self.recorded(recorded);
        if let Some((Step::Record, errno)) = launched.failed {
            let line = sentence(&self.dir, "record the start of", file(script), Words(&errno.into()));
            self.warn(
                &[&line, b" (unknown to the next supervise it would run twice: it waits)".as_slice()]
                    .concat(),
            );
            return Event::NotLaunched;
        }
        self.child = Some(Child::own(identity, launched.pid, self.settings.policy.stop.group));
        self.ready = read;
        if script == Script::Run {
            self.since = newborn.since;
            self.ready_since = None;
            self.restarts = newborn.more.map_or(0, |more| more.restarts);
        }
        if let Some((step, errno)) = launched.failed {
            self.complain(script, step, errno);
        }
        Event::Launched { pid: launched.pid }
    }

    /// The status of a child that is about to be born, but for its pid.
    fn newborn(&self, script: Script) -> Status {
        let mut status = self.status();
        let Some(more) = &mut status.more else { return status };
        (more.group, more.adopted, more.ready) = (self.settings.policy.stop.group, false, None);
        match script {
            Script::Start => {}
            Script::Run => {
                status.since = Tai64n::now();
                more.state = status::State::Up;
                more.restarts = self.restarts.saturating_add(u32::from(self.machine.again));
            }
            Script::Finish | Script::Stop => {
                more.kill_at = self.settings.policy.finish_limit.map(|limit| self.now() + limit);
                more.prepared &= script != Script::Stop;
            }
        }
        status
    }

    /// Scripts run where they are there and executable. `./run` is always tried, unless `./start` was all.
    fn is_absent(&mut self, script: Script) -> bool {
        let executable = |name: &str| {
            fs::metadata(name).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        match script {
            Script::Start => {
                self.had_start = executable(names::START);
                !self.had_start
            }
            Script::Run => self.had_start && !fs::exists(names::RUN).unwrap_or(true),
            Script::Finish => !executable(names::FINISH),
            Script::Stop => !executable(names::STOP),
        }
    }

    /// The pipe on which the service says that it is ready.
    fn notification_pipe(&mut self, script: Script) -> Option<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
        if script != Script::Run || self.settings.policy.ready.is_none() {
            return None;
        }
        match pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK) {
            // Only our end must not block.
            Ok((read, write)) => fds::set_blocking(&write).is_ok().then_some((read, write)),
            Err(errno) => {
                self.warn(&sentence(&self.dir, "create a notification pipe for", "", Words(&errno.into())));
                None
            }
        }
    }

    fn complain(&mut self, script: Script, step: Step, errno: Errno) {
        let error = io::Error::from(errno);
        let line = match step {
            Step::Record | Step::Execute => sentence(&self.dir, "start", file(script), Words(&error)),
            Step::Descriptor => sentence(&self.dir, "hand the notification descriptor to", "", Words(&error)),
            Step::Limit(resource) => {
                let name = RESOURCES.iter().find(|(_, r)| *r == resource).map_or("", |(name, _)| *name);
                sentence(&self.dir, &format!("set the limit {name} for"), "", Words(&error))
            }
        };
        self.say(&[b"supervise: fatal: ".as_slice(), &line].concat());
    }

    fn signal(&mut self, signal: Signal, send: impl Fn(&Child, Signal) -> io::Result<()>) {
        // A child that has just ended is reported by its exit; there is nobody else to whom this could go.
        if let Some(child) = &self.child
            && let Err(e) = send(child, signal)
            && e.raw_os_error() != Some(Errno::ESRCH as i32)
        {
            self.warn(&sentence(&self.dir, "signal", "", Words(&e)));
        }
    }

    fn kill(&mut self) {
        let policy = &self.settings.policy;
        let (what, time) = match self.machine.state {
            State::Finishing { script, .. } => (format!("/{}", file(script)), policy.finish_limit),
            _ => (String::new(), policy.stop.grace),
        };
        let seconds = time.unwrap_or_default().as_secs_f64();
        let words = format!("{what} did not end within {seconds} seconds: killing it");
        self.warn(&[&self.dir, words.as_bytes()].concat());
        self.signal(Signal::SIGKILL, Child::signal_all);
    }

    /// Writes the status. While that is not possible it is said once, and tried again every few seconds.
    pub(crate) fn record(&mut self) {
        if matches!(self.machine.state, State::Up { ready: true, .. }) && self.ready_since.is_none() {
            self.ready_since = Some(Tai64n::now());
        }
        self.station.unmark();
        let status = self.status();
        let mut result = self.station.write_status(&status);
        // Not on the way out: whoever told us to exit may be about to remove the whole directory.
        let gone = || !self.machine.leaving && !fs::exists(names::SUPERVISE).unwrap_or(true);
        if result.is_err() && gone() && self.rebuild_station() {
            result = self.station.write_status(&status);
        }
        self.recorded(result);
    }

    /// Makes `supervise/` anew, with all that is in it: somebody has removed it, and without it nobody can say anything
    /// to us, nor would the next supervise know of us.
    fn rebuild_station(&mut self) -> bool {
        let Ok(station) = Station::open(self.own.as_ref()) else { return false };
        self.station = station;
        self.warn(&[&self.dir, b"/supervise was removed: making it anew".as_slice()].concat());
        true
    }

    fn recorded(&mut self, result: Result<(), Unwritten>) {
        self.station.mark(matches!(result, Err(Unwritten { stale: true, .. })));
        if let Err(unwritten) = &result
            && !self.unrecorded
        {
            self.warn(&unwritten.trouble.sentence(&self.dir));
        }
        self.unrecorded = result.is_err();
    }

    fn status(&self) -> Status {
        let (state, paused) = match self.machine.state {
            State::Down { failed: false } => (status::State::Down, false),
            State::Down { failed: true } => (status::State::Failed, false),
            State::Backoff { .. } => (status::State::Backoff, false),
            State::Starting(_) => (status::State::Starting, false),
            State::Up { paused, .. } => (status::State::Up, paused),
            State::Stopping { paused, .. } => (status::State::Stopping, paused),
            State::Finishing { .. } => (status::State::Finishing, false),
        };
        let pid = self.machine.pid_of_service();
        let until = match self.machine.state {
            State::Backoff { until } => Some(until),
            _ => None,
        };
        Status {
            since: self.since,
            pid,
            paused,
            want: self.machine.want,
            more: Some(More {
                state,
                adopted: self.child.as_ref().is_some_and(Child::adopted),
                restarts: self.restarts,
                last_exit: self.last_exit,
                ready: self.ready_since,
                backoff_until: until.map(|at| (SystemTime::now() + at.saturating_sub(self.now())).into()),
                starts_at: until,
                identity: self.child.as_ref().and_then(|child| child.identity),
                group: self.child.as_ref().is_some_and(|child| child.group),
                prepared: self.machine.prepared,
                says_ready: self.machine.rules.says_ready,
                script: self.machine.pid().filter(|_| pid.is_none()),
                supervise: self.own,
                kill_at: self.machine.kill_at(),
            }),
        }
    }
}

/// Says who the newborn child is. It does so itself, in our memory.
fn put_name(newborn: &mut Status, script: Script, pid: i32, identity: Option<Identity>) {
    let Some(more) = &mut newborn.more else { return };
    more.identity = identity;
    match script {
        Script::Run => newborn.pid = Some(pid),
        Script::Start | Script::Finish | Script::Stop => more.script = Some(pid),
    }
}

fn file(script: Script) -> &'static str {
    match script {
        Script::Start => names::START,
        Script::Run => names::RUN,
        Script::Finish => names::FINISH,
        Script::Stop => names::STOP,
    }
}

/// The command line of a script. Those that clean up get what s6 gives them: exit code (256 for a signal),
/// signal (0 for an exit), and the name of the service.
fn words(script: Script, last: Option<Exit>, dir: &[u8]) -> Vec<CString> {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default(); // arguments and numbers hold no NUL
    let mut words = vec![text(format!("./{}", file(script)).as_bytes())];
    if matches!(script, Script::Finish | Script::Stop) {
        let (code, signal) = match last {
            Some(Exit::Code(code)) => (code.to_string(), 0),
            Some(Exit::Signal(signal)) => ("256".into(), signal),
            Some(Exit::Unknown) | None => ("-1".into(), 0),
        };
        words.extend([text(code.as_bytes()), text(signal.to_string().as_bytes()), text(dir)]);
    }
    words
}

/// What tells a service where to say that it is ready.
fn variables<T>(number: Option<i32>, pipe: &Option<T>) -> Vec<CString> {
    let variable = |number| CString::new(format!("SKYNET_NOTIFY_FD={number}")).unwrap_or_default();
    number.filter(|_| pipe.is_some()).map(variable).into_iter().collect()
}
