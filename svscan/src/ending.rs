//! The orderly end, as it is carried out: tells the supervises, waits for them, and as PID 1 for all that is left.

use crate::pair::children;
use crate::plan::{Event, Id, Moment, Part, Place, Supervise};
use crate::scanner::{Scanner, Wish};
use crate::shutdown::{Ending, LAST, Measure};
use crate::starter::directory;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use servicedir::status::{Status, Want};
use servicedir::{client, holder, names};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unix::process::{self, Exit, Pidfd};

/// Told to a service: stop, and supervise exits; to a logger: supervise exits when it ends; and when they are late.
const STOP: &[u8] = b"dx";
const EXIT: &[u8] = b"x";
const KILL: &[u8] = b"dxk";
/// So long the supervise of a logger that was just started has time to start that, and so often it is looked at.
const PATIENCE: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(5);

impl Scanner {
    /// Ends: services are told to stop, loggers end when nobody holds the other end of their pipe any more.
    /// Returns the exit code: 0 when all stopped by themselves, 1 when something had to be killed.
    pub(crate) fn end(mut self) -> u8 {
        let mut ending = Ending::begin(self.now());
        self.look_at_all();
        self.pairs.clear();
        let up = self.services_up();
        let mut untold = self.running();
        let patience = self.now() + PATIENCE;
        let mut hurry = false;
        while !self.plan.is_idle() {
            let now = self.now();
            self.tell_to_end(&mut untold, now >= patience || hurry);
            let promised = if now < ending.deadline() { None } else { self.promised() };
            let (next, measure) = ending.step(now, hurry, promised);
            ending = next;
            match measure {
                Measure::Wait => {
                    let again = (!untold.is_empty()).then_some(now + NAP);
                    let looks = self.plan.next_look().into_iter().chain(again);
                    self.wait(looks.chain([ending.deadline()]).min());
                }
                Measure::KillServices => self.kill_services(),
                Measure::KillSupervises => {
                    self.running().into_iter().for_each(|place| self.kill_supervise(place))
                }
                Measure::Leave => break,
            }
            self.collect();
            let now = self.now();
            // Nothing is started any more, but some may have to be looked at.
            self.tell(now, Event::Tick { room: 0 });
            hurry = self.wish() == Wish::End;
        }
        let killed = up.iter().any(|dir| was_killed(dir));
        let rest_killed = nix::unistd::getpid().as_raw() == 1 && self.end_the_rest();
        u8::from(ending.has_killed() || killed || rest_killed)
    }

    /// Learns of those that an earlier svscan started and that nobody has looked at yet.
    fn look_at_all(&mut self) {
        let now = self.now();
        self.scan(now);
        let places = self.places(|supervise| matches!(supervise, Supervise::Due { .. }));
        for place in places {
            if let Some(busy) = self.look(place) {
                self.tell(now, busy);
            }
        }
    }

    fn running(&self) -> Vec<Place> {
        self.places(|supervise| !matches!(supervise, Supervise::Due { .. }))
    }

    fn places(&self, which: impl Fn(Supervise) -> bool) -> Vec<Place> {
        let services = self.plan.services().iter();
        let parts = services.flat_map(|(id, service)| service.parts().map(|(part, s)| ((*id, part), s)));
        parts.filter(|(_, supervise)| which(*supervise)).map(|(place, _)| place).collect()
    }

    /// The latest moment at which a supervise has promised to kill what it runs, and a little more: it does so
    /// itself, and says so. The word of a directory that others may write is not taken.
    fn promised(&self) -> Option<Moment> {
        let now = (self.now(), unix::clock::monotonic());
        let dirs = self.running().into_iter().filter_map(|place| self.directory(place));
        dirs.filter_map(|dir| promise(&dir)).map(|at| now.0 + (at + LAST).saturating_sub(now.1)).max()
    }

    /// The directories of the services that are up.
    fn services_up(&self) -> Vec<PathBuf> {
        let dirs = self.running().into_iter().filter_map(|place| self.directory(place));
        dirs.filter(|dir| client::status(dir).is_ok_and(|status| status.pid.is_some())).collect()
    }

    fn directory(&self, (id, part): Place) -> Option<PathBuf> {
        Some(directory(&self.plan.service(id)?.name, part))
    }

    /// The pid of a supervise, if it is known.
    fn pid(&self, place: Place) -> Option<i32> {
        match self.plan.service(place.0)?.part(place.1)? {
            Supervise::Running { pid, .. } => Some(pid),
            _ => self.found.get(place).map(|(pid, _)| pid),
        }
    }

    /// The directory of a supervise, whatever that is called by now. `None` where it has not come there yet: the supervise
    /// of a logger begins in the directory of the service, whose supervise is not to hear what is for it.
    fn home(&self, place: Place) -> Option<PathBuf> {
        let Some(pid) = self.pid(place) else { return self.directory(place) };
        let home = PathBuf::from(format!("/proc/{pid}/cwd"));
        let here = std::fs::metadata(&home).ok().map(|meta| Id::of(&meta));
        let is_service = here == Some(place.0);
        (is_service == (place.1 == Part::Main)).then_some(home)
    }

    /// Whether a supervise hears letters. One that somebody has stopped goes on.
    fn hears(&self, place: Place, letters: &[u8]) -> bool {
        let heard = self.home(place).is_some_and(|dir| client::send(&dir, letters).is_ok());
        self.signal(place, Signal::SIGCONT);
        heard
    }

    /// Sends letters to a supervise. One that has no ears even now is ended by TERM.
    fn say_to(&self, place: Place, letters: &[u8]) {
        if !self.hears(place, letters) {
            self.signal(place, Signal::SIGTERM);
        }
    }

    /// Tells the supervises to stop their services, and those of loggers to exit when their loggers do. Some are told the next
    /// time: one that has no ears yet may be about to take over a service that runs; one that exits before its logger runs
    /// takes with it what is in the pipe. The `last` time all are told but those that have not come to their directory.
    fn tell_to_end(&self, untold: &mut Vec<Place>, last: bool) {
        let running = self.running();
        untold.retain(|place| {
            if !running.contains(place) {
                return false;
            }
            let (letters, may_hear) = match place.1 {
                Part::Main => (STOP, true),
                Part::Log => (EXIT, self.is_settled(*place)),
            };
            let told = may_hear && self.hears(*place, letters);
            let given_up = || last && (place.1 == Part::Log || self.home(*place).is_some());
            if !told && given_up() {
                self.say_to(*place, letters);
                return false;
            }
            !told
        });
    }

    /// Whether a supervise has started what it is to start, as far as that can be known.
    fn is_settled(&self, place: Place) -> bool {
        let Some(pid) = self.pid(place) else { return true };
        let Some(status) = self.home(place).and_then(|dir| client::status(&dir).ok()) else { return false };
        let its_own = status.more.as_ref().and_then(|more| more.supervise).is_none_or(|own| own.pid == pid);
        its_own && (status.pid.is_some() || status.want != Want::Up)
    }

    /// The last resort, for a supervise that does not hear: it is killed, and what it runs by its own record.
    fn kill_supervise(&self, place: Place) {
        let child = self.home(place).and_then(|dir| children(&dir).find_map(|who| Pidfd::of(&who).ok()));
        self.signal(place, Signal::SIGKILL);
        // It may have ended meanwhile.
        let _ = child.map(|child| child.send(Signal::SIGKILL));
    }

    /// Signals a supervise. One that has just ended needs no signal.
    fn signal(&self, place: Place, signal: Signal) {
        let running = self.plan.service(place.0).and_then(|service| service.part(place.1));
        let _ = match (running, self.found.get(place)) {
            (Some(Supervise::Running { pid, .. }), _) => process::signal_child(pid, signal),
            (_, Some((_, pidfd))) => pidfd.send(signal),
            _ => Ok(()),
        };
    }

    fn kill_services(&mut self) {
        let late = self.running();
        for place in &late {
            self.say_to(*place, KILL);
        }
        let mut names: Vec<_> = late.iter().filter_map(|place| self.directory(*place)).collect();
        names.sort();
        for name in names {
            let now = self.now();
            let line = [b"killing ", name.as_os_str().as_bytes(), b": it did not stop in time"].concat();
            self.warnings.tell(now, &line);
        }
    }

    /// As PID 1: everything else goes too. Returns whether anything had to be killed.
    fn end_the_rest(&mut self) -> bool {
        for (signal, killed) in [(Signal::SIGTERM, false), (Signal::SIGKILL, true)] {
            // -1 is everybody but ourselves; nobody is left when that fails.
            let _ = kill(Pid::from_raw(-1), signal);
            let _ = kill(Pid::from_raw(-1), Signal::SIGCONT);
            let until = self.now() + LAST;
            loop {
                self.collect();
                // Looked at before the clock: we may have had no time ourselves.
                if waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD) {
                    return killed;
                }
                if until <= self.now() {
                    break;
                }
                self.wait(Some(until));
            }
        }
        true
    }
}

/// When the supervise of this directory kills what it runs there, by its own clock.
fn promise(dir: &Path) -> Option<Moment> {
    let believed = holder::is_ours(dir, &[".", names::SUPERVISE, names::STATUS]);
    believed.then(|| client::status(dir).ok()?.more?.kill_at)?
}

/// Whether the last thing that happened to the service of this directory was KILL.
fn was_killed(dir: &Path) -> bool {
    let last_exit = |status: Status| status.more?.last_exit;
    client::status(dir).ok().and_then(last_exit) == Some(Exit::Signal(Signal::SIGKILL as i32))
}
