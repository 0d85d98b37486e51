//! What supervise decides: a pure machine. The loop in `main.rs` only performs its actions.
//!
//! ```text
//!            u o                  Started
//!   Down ───────────▶ Starting ───────────▶ Up
//!    ▲  ▲               │  ▲                 │ Exited
//!    │  └── d ── Backoff ◀─┘ Due             │
//!    │             ▲  NotStarted             │
//!    │             └── wanted, too early ────┤
//!    └────────────── not wanted ─────────────┘
//! ```
//!
//! Always: there is at most one child; a start is never sooner than [`SPACING`] after the one before; a letter
//! acts at once, in every state; a child runs its program only when it is on record; what is wanted up is up
//! or about to be started; supervise quits only without a child.

use servicedir::control::Command;
use servicedir::status::Want;
use std::time::Duration;
use unix::process::Signal;

/// A point of the monotonic clock.
pub type Moment = Duration;

/// The least time between two starts.
pub const SPACING: Duration = Duration::from_secs(1);

/// Where the one child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is none and none is due.
    Down,
    /// There is none; a start is due at `until`.
    Backoff {
        /// When to start.
        until: Moment,
    },
    /// [`Action::Start`] is under way.
    Starting,
    /// It runs.
    Up {
        /// Its pid.
        pid: i32,
        /// It was sent STOP.
        paused: bool,
    },
}

/// What happens to supervise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A control letter came.
    Command(Command),
    /// The start brought forth this child, which waits to be released.
    Started {
        /// Its pid.
        pid: i32,
    },
    /// The start failed.
    NotStarted,
    /// The child ended.
    Exited,
    /// The moment of [`Machine::deadline`] has come.
    Due,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a child that waits to be released; report [`Event::Started`] or [`Event::NotStarted`].
    Start,
    /// Write the status.
    Record,
    /// Let the new child run its program.
    Release,
    /// Send the child a signal.
    Send(Signal),
    /// Exit.
    Quit,
}

/// The whole of what supervise knows when it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Where the child is in its life.
    pub state: State,
    /// What the service is wanted to be.
    pub want: Want,
    /// Quit as soon as there is no child.
    pub leaving: bool,
    last_start: Option<Moment>,
}

impl Machine {
    /// A service without a child, to be started (by a first [`Event::Due`]) unless it is `down`.
    pub fn new(down: bool) -> Self {
        let (state, want) = match down {
            true => (State::Down, Want::Down),
            false => (State::Backoff { until: Moment::ZERO }, Want::Up),
        };
        Self { state, want, leaving: false, last_start: None }
    }

    /// A service whose child outlived an earlier supervise.
    pub fn adopting(pid: i32, paused: bool, want: Want) -> Self {
        Self { state: State::Up { pid, paused }, want, leaving: false, last_start: None }
    }

    /// When [`Event::Due`] is to be reported.
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Backoff { until } => Some(until),
            State::Down | State::Starting | State::Up { .. } => None,
        }
    }

    /// The machine after `event`, and what is to be done.
    #[must_use]
    pub fn step(mut self, now: Moment, event: Event) -> (Self, Vec<Action>) {
        let actions = match (self.state, event) {
            (_, Event::Command(command)) => self.obey(command, now),
            (State::Starting, Event::Started { pid }) => self.started(pid),
            (State::Starting, Event::NotStarted) => self.not_started(now),
            (State::Up { .. }, Event::Exited) => self.exited(now),
            (State::Backoff { until }, Event::Due) if until <= now => self.start(now),
            // A deadline that was overtaken by a letter, a report that belongs to no start: nothing to do.
            (_, Event::Started { .. } | Event::NotStarted | Event::Exited | Event::Due) => vec![],
        };
        (self, actions)
    }

    fn obey(&mut self, command: Command, now: Moment) -> Vec<Action> {
        match command {
            Command::Up => {
                self.want = Want::Up;
                self.begin_if_down(now)
            }
            Command::Once => {
                self.want = Want::Nothing;
                self.begin_if_down(now)
            }
            Command::Down => self.want_down(),
            Command::Pause => match &mut self.state {
                State::Up { paused, .. } => {
                    *paused = true;
                    vec![Action::Record, Action::Send(Signal::SIGSTOP)]
                }
                _ => vec![],
            },
            Command::Continue => match &mut self.state {
                State::Up { paused, .. } => {
                    *paused = false;
                    vec![Action::Record, Action::Send(Signal::SIGCONT)]
                }
                _ => vec![],
            },
            Command::Signal(signal) => match self.state {
                State::Up { .. } => vec![Action::Send(signal)],
                _ => vec![],
            },
            Command::Exit => {
                self.leaving = true;
                match self.state {
                    State::Down | State::Backoff { .. } => self.leave(),
                    State::Starting | State::Up { .. } => vec![],
                }
            }
        }
    }

    fn want_down(&mut self) -> Vec<Action> {
        self.want = Want::Down;
        match &mut self.state {
            State::Up { paused, .. } => {
                *paused = false;
                let [term, cont] = STOP;
                vec![term, cont, Action::Record]
            }
            State::Backoff { .. } => {
                self.state = State::Down;
                vec![Action::Record]
            }
            State::Down | State::Starting => vec![Action::Record],
        }
    }

    fn started(&mut self, pid: i32) -> Vec<Action> {
        self.state = State::Up { pid, paused: false };
        let mut actions = vec![Action::Record, Action::Release];
        if self.want == Want::Down {
            actions.extend(STOP);
        }
        actions
    }

    fn not_started(&mut self, now: Moment) -> Vec<Action> {
        if self.leaving {
            return self.leave();
        }
        self.state = match self.want {
            Want::Down => State::Down,
            Want::Up | Want::Nothing => State::Backoff { until: now + SPACING },
        };
        vec![Action::Record]
    }

    fn exited(&mut self, now: Moment) -> Vec<Action> {
        if self.leaving {
            return self.leave();
        }
        match self.want {
            Want::Up => self.begin(now),
            Want::Down | Want::Nothing => {
                self.state = State::Down;
                vec![Action::Record]
            }
        }
    }

    fn leave(&mut self) -> Vec<Action> {
        self.state = State::Down;
        vec![Action::Record, Action::Quit]
    }

    fn begin_if_down(&mut self, now: Moment) -> Vec<Action> {
        match self.state {
            State::Down => self.begin(now),
            State::Backoff { .. } | State::Starting | State::Up { .. } => vec![Action::Record],
        }
    }

    /// Starts now, or as soon as a start is allowed again.
    fn begin(&mut self, now: Moment) -> Vec<Action> {
        match self.last_start.map(|last| last + SPACING) {
            Some(until) if until > now => {
                self.state = State::Backoff { until };
                vec![Action::Record]
            }
            // No record in between: the start writes one, or its failure does.
            _ => self.start(now),
        }
    }

    fn start(&mut self, now: Moment) -> Vec<Action> {
        self.state = State::Starting;
        self.last_start = Some(now);
        vec![Action::Start]
    }
}

/// How a child is stopped: TERM, and CONT so that a paused one hears it.
const STOP: [Action; 2] = [Action::Send(Signal::SIGTERM), Action::Send(Signal::SIGCONT)];

#[cfg(test)]
mod tests;
