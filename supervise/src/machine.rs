//! What supervise decides: a pure machine. The loop in `supervisor.rs` only performs its actions.
//!
//! ```text
//!            u o r                        Launched
//!   Down ───────────▶ Starting ─────────────────────────▶ Up ──── d r ───▶ Stopping
//!    ▲  ▲             (settings, ./start)                 │                   │
//!    │  └─── d O ─── Backoff ◀── wanted, but too early ─┐ │ Exited            │ Exited
//!    │               │     ▲                            │ ▼                   ▼
//!    │               └ Due │ NotLaunched                Finishing (./finish, ./stop)
//!    └────────────────────────── not wanted, done, failed ┘
//! ```
//!
//! Always: there is at most one child; a start is never sooner than the backoff allows; a letter acts at once, in
//! every state; nothing is signalled that is not our child; what is wanted up is up or about to be started;
//! a deadline lies ahead or is acted upon; supervise quits only without a child.
//!
//! | file | idea |
//! |---|---|
//! | `rules.rs` | the settings that decide, and the time between two starts |
//! | `letters.rs` | what each control letter does |
//! | `ends.rs` | what becomes of a child that ended |
//! | `actions.rs` | the list of what is to be done |

mod actions;
mod ends;
mod letters;
mod rules;

pub use actions::Actions;
pub use rules::Rules;

use servicedir::control::Command;
use servicedir::status::Want;
use std::time::Duration;
use unix::process::{Exit, Signal};

/// A point of the monotonic clock.
pub type Moment = Duration;

/// Where a service without a notification descriptor is ready: when it has been up for so long.
pub const READY: Duration = Duration::from_secs(1);

/// Where the one child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is none and none is due.
    Down {
        /// It has failed for good.
        failed: bool,
    },
    /// There is none; a start is due at `until`.
    Backoff {
        /// When to start.
        until: Moment,
    },
    /// On the way up.
    Starting(Stage),
    /// `./run` runs.
    Up {
        /// Its pid.
        pid: i32,
        /// When it was started.
        since: Moment,
        /// It was sent STOP.
        paused: bool,
        /// It said, or is taken, to be ready.
        ready: bool,
    },
    /// `./run` runs and was asked to stop.
    Stopping {
        /// Its pid.
        pid: i32,
        /// It was sent STOP.
        paused: bool,
        /// When it is killed.
        kill_at: Option<Moment>,
    },
    /// `./run` has ended; `./finish` or `./stop` runs, or is being launched.
    Finishing {
        /// Which of the two.
        script: Script,
        /// Its pid; `None` = the launch is under way.
        pid: Option<i32>,
        /// When it is killed.
        kill_at: Option<Moment>,
        /// What comes after it.
        then: Then,
    },
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The settings are read.
    Settings,
    /// `./start` runs, or is being launched.
    Preparing {
        /// Its pid; `None` = the launch is under way.
        pid: Option<i32>,
        /// When it is killed: it was asked to stop.
        kill_at: Option<Moment>,
    },
    /// The launch of `./run` is under way.
    Launching,
}

/// What comes after a service has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// What is wanted.
    AsWanted,
    /// It is started once more, whatever is wanted afterwards.
    Again,
    /// It has failed for good.
    Failed,
}

/// What is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Script {
    /// `./start`, before the first run.
    Start,
    /// `./run`.
    Run,
    /// `./finish`, after each run.
    Finish,
    /// `./stop`, as encore names that.
    Stop,
}

/// What happens to supervise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A control letter came.
    Command(Command),
    /// The settings were read.
    Settled(Rules),
    /// The script is launched, and on record.
    Launched {
        /// Its pid.
        pid: i32,
    },
    /// The launch failed.
    NotLaunched,
    /// There is no such script.
    Absent,
    /// The service says that it is ready.
    Ready,
    /// The child ended.
    Exited(Exit),
    /// The moment of [`Machine::deadline`] has come.
    Due,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the settings where they have changed; report [`Event::Settled`].
    Settle,
    /// Launch this script; report [`Event::Launched`], [`Event::NotLaunched`] or [`Event::Absent`].
    Launch(Script),
    /// Write the status.
    Record,
    /// Send the child a signal.
    Send(Signal),
    /// Send a signal to the child, and to all of its group if it has one of its own.
    SendAll(Signal),
    /// Kill the child, and all of its group: it had its time. To be said.
    Kill,
    /// Tell whoever is to be told.
    Tell(Trouble),
    /// Exit.
    Quit,
}

/// What somebody is told of. In the order in which they get worse; an incident is told of once each, and ends
/// with [`Trouble::Recovered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// It is well again.
    Recovered,
    /// It ended by itself, and not in order.
    Crash,
    /// It does so again and again, and must wait.
    Backoff,
    /// It has failed for good.
    Failed,
}

/// The whole of what supervise knows when it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where the child is in its life.
    pub state: State,
    /// What the service is wanted to be.
    pub want: Want,
    /// Quit as soon as there is no child.
    pub leaving: bool,
    /// How often it ended early, or was not launched, one after the other.
    pub failures: u32,
    /// The settings that decide.
    pub rules: Rules,
    /// What was told of the present incident.
    told: Trouble,
    /// Something was told, and that it is well again was not.
    unwell: bool,
    /// `./start` has done its work, and `./stop` has not undone it.
    pub prepared: bool,
    /// The last signal that ends services which an operator has sent the child.
    asked: Option<Signal>,
    /// The next start is one that nobody asked for: it has ended by itself.
    pub again: bool,
    last_start: Option<Moment>,
    chance: u32,
}

impl Machine {
    /// A service without a child, to be started (by a first [`Event::Due`]) where it is wanted up. `chance` is
    /// any number, for [`servicedir::policy::Backoff::jitter`].
    pub fn new(want: Want, chance: u32) -> Self {
        let state = match want {
            Want::Up => State::Backoff { until: Moment::ZERO },
            Want::Down | Want::Nothing => State::Down { failed: false },
        };
        Self {
            state,
            want,
            leaving: false,
            failures: 0,
            rules: Rules::default(),
            told: Trouble::Recovered,
            unwell: false,
            prepared: false,
            asked: None,
            again: false,
            last_start: None,
            chance: chance | 1,
        }
    }

    /// A service in a state that outlived an earlier supervise, last started at this moment.
    pub fn adopting(state: State, want: Want, last_start: Moment, chance: u32) -> Self {
        let prepared = matches!(state, State::Up { .. } | State::Stopping { .. });
        Self { state, prepared, last_start: Some(last_start), ..Self::new(want, chance) }
    }

    /// When [`Event::Due`] is to be reported.
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Down { .. } | State::Starting(Stage::Settings | Stage::Launching) => None,
            State::Backoff { until } => Some(until),
            State::Up { ready: false, since, .. } => (!self.rules.says_ready).then_some(since + READY),
            State::Up { since, .. } => self.unwell.then_some(since + self.rules.backoff.reset),
            State::Starting(Stage::Preparing { .. }) | State::Stopping { .. } | State::Finishing { .. } => {
                self.kill_at()
            }
        }
    }

    /// When the child is killed because its time is over.
    pub fn kill_at(&self) -> Option<Moment> {
        match self.state {
            State::Starting(Stage::Preparing { kill_at, .. })
            | State::Stopping { kill_at, .. }
            | State::Finishing { kill_at, .. } => kill_at,
            State::Down { .. } | State::Backoff { .. } | State::Starting(_) | State::Up { .. } => None,
        }
    }

    /// The pid of the child, if there is one.
    pub fn pid(&self) -> Option<i32> {
        match self.state {
            State::Up { pid, .. } | State::Stopping { pid, .. } => Some(pid),
            State::Starting(Stage::Preparing { pid, .. }) | State::Finishing { pid, .. } => pid,
            State::Down { .. } | State::Backoff { .. } | State::Starting(_) => None,
        }
    }

    /// The pid of `./run`, if it runs.
    pub fn pid_of_service(&self) -> Option<i32> {
        match self.state {
            State::Up { pid, .. } | State::Stopping { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// The machine after `event`, and what is to be done.
    #[must_use]
    pub fn step(mut self, now: Moment, event: Event) -> (Self, Actions) {
        let mut todo = Actions::default();
        match event {
            Event::Command(command) => self.obey(command, now, &mut todo),
            Event::Settled(rules) => self.settled(rules, now, &mut todo),
            Event::Launched { pid } => self.launched(pid, now, &mut todo),
            Event::NotLaunched => self.not_launched(now, &mut todo),
            Event::Absent => self.absent(now, &mut todo),
            Event::Ready => self.ready(&mut todo),
            Event::Exited(exit) => self.exited(exit, now, &mut todo),
            Event::Due if self.deadline().is_some_and(|at| at <= now) => self.due(&mut todo),
            // A deadline that was overtaken by something else.
            Event::Due => {}
        }
        (self, todo)
    }

    fn settled(&mut self, rules: Rules, now: Moment, todo: &mut Actions) {
        self.rules = rules;
        match &mut self.state {
            State::Starting(stage @ Stage::Settings) => {
                self.last_start = Some(now);
                if self.prepared {
                    *stage = Stage::Launching;
                    todo.push(Action::Launch(Script::Run));
                } else {
                    *stage = Stage::Preparing { pid: None, kill_at: None };
                    todo.push(Action::Launch(Script::Start));
                }
            }
            // Adopted while it was being stopped, and nothing is on record of its time: that begins now.
            State::Stopping { kill_at: kill_at @ None, .. } => {
                *kill_at = rules.stop.grace.map(|grace| now + grace);
                todo.push(Action::Record);
            }
            State::Finishing { pid: Some(_), kill_at: kill_at @ None, .. } => {
                *kill_at = rules.finish_limit.map(|limit| now + limit);
                todo.push(Action::Record);
            }
            _ => {}
        }
    }

    fn launched(&mut self, pid: i32, now: Moment, todo: &mut Actions) {
        match &mut self.state {
            State::Starting(Stage::Preparing { pid: none @ None, .. }) => *none = Some(pid),
            State::Starting(Stage::Launching) => {
                self.last_start = Some(now);
                self.asked = None;
                self.state = State::Up { pid, since: now, paused: false, ready: false };
            }
            State::Finishing { script, pid: none @ None, kill_at, .. } => {
                *none = Some(pid);
                *kill_at = self.rules.finish_limit.map(|limit| now + limit);
                self.prepared &= *script != Script::Stop;
            }
            // A report that belongs to no launch.
            _ => return,
        }
        if self.want == Want::Down {
            self.stop(now, todo);
        }
    }

    fn not_launched(&mut self, now: Moment, todo: &mut Actions) {
        match self.state {
            State::Starting(Stage::Preparing { pid: None, .. } | Stage::Launching) => {
                self.failures = self.failures.saturating_add(1);
                let then = if self.want == Want::Down { Then::AsWanted } else { Then::Again };
                self.come_down(then, now, todo);
            }
            State::Finishing { pid: None, then, .. } => self.come_down(then, now, todo),
            _ => {}
        }
    }

    fn absent(&mut self, now: Moment, todo: &mut Actions) {
        match self.state {
            State::Starting(Stage::Preparing { pid: None, .. }) => self.prepare_is_done(todo),
            // There was a ./start and there is no ./run: that was all.
            State::Starting(Stage::Launching) => {
                self.want = Want::Nothing;
                self.come_down(Then::AsWanted, now, todo);
                self.prepared = true;
            }
            State::Finishing { script: Script::Finish, pid: None, then, .. } => {
                self.finish(Script::Stop, then, todo);
            }
            State::Finishing { pid: None, then, .. } => self.come_down(then, now, todo),
            _ => {}
        }
    }

    fn prepare_is_done(&mut self, todo: &mut Actions) {
        self.prepared = true;
        self.state = State::Starting(Stage::Launching);
        todo.push(Action::Launch(Script::Run));
    }

    fn ready(&mut self, todo: &mut Actions) {
        if let State::Up { ready: ready @ false, .. } = &mut self.state {
            *ready = true;
            todo.push(Action::Record);
        }
    }

    fn due(&mut self, todo: &mut Actions) {
        match &mut self.state {
            State::Backoff { .. } => self.start(todo),
            State::Up { ready: false, .. } => self.ready(todo),
            State::Up { .. } => {
                self.told = Trouble::Recovered;
                self.unwell = false;
                self.failures = 0;
                todo.push(Action::Tell(Trouble::Recovered));
            }
            State::Starting(Stage::Preparing { kill_at, .. })
            | State::Stopping { kill_at, .. }
            | State::Finishing { kill_at, .. } => {
                *kill_at = None;
                todo.push(Action::Kill);
                todo.push(Action::Record);
            }
            State::Down { .. } | State::Starting(_) => {}
        }
    }

    /// Starts now, or as soon as a start is allowed again.
    fn begin(&mut self, now: Moment, until: Option<Moment>, todo: &mut Actions) {
        match until {
            Some(until) if until > now => {
                self.state = State::Backoff { until };
                todo.push(Action::Record);
            }
            // No record in between: the launch writes one, or its failure does.
            _ => self.start(todo),
        }
    }

    fn start(&mut self, todo: &mut Actions) {
        self.state = State::Starting(Stage::Settings);
        todo.push(Action::Settle);
    }

    fn tell(&mut self, trouble: Trouble, todo: &mut Actions) {
        if self.told < trouble {
            self.told = trouble;
            self.unwell = true;
            todo.push(Action::Tell(trouble));
        }
    }
}

#[cfg(test)]
mod tests;
