//! What each control letter does. It acts at once, in every state.

use super::{Action, Actions, Machine, Moment, Stage, State, Then, Trouble};
use servicedir::control::Command;
use servicedir::status::Want;
use unix::process::Signal;

impl Machine {
    pub(super) fn obey(&mut self, command: Command, now: Moment, todo: &mut Actions) {
        match command {
            Command::Up => {
                self.want = Want::Up;
                self.begin_if_down(Then::AsWanted, now, todo);
            }
            Command::Once => {
                self.want = Want::Nothing;
                self.begin_if_down(Then::Again, now, todo);
            }
            Command::AtMostOnce => {
                self.want = Want::Nothing;
                self.give_up_starting(todo);
            }
            Command::Down => {
                self.want = Want::Down;
                self.down(now, todo);
            }
            Command::Restart => {
                self.want = Want::Up;
                match self.state {
                    State::Up { .. } => self.stop(now, todo),
                    _ => self.begin_if_down(Then::AsWanted, now, todo),
                }
            }
            Command::Pause => self.pause(true, Signal::SIGSTOP, todo),
            Command::Continue => self.pause(false, Signal::SIGCONT, todo),
            Command::Signal(signal) => self.signal(signal, todo),
            Command::Exit => {
                self.leaving = true;
                if self.has_no_child() {
                    self.leave(todo);
                }
            }
        }
    }

    /// Whether supervise may quit: no child is there, or about to be.
    fn has_no_child(&self) -> bool {
        match self.state {
            State::Down { .. } | State::Backoff { .. } | State::Starting(Stage::Settings) => true,
            State::Starting(_) | State::Up { .. } | State::Stopping { .. } | State::Finishing { .. } => false,
        }
    }

    pub(super) fn leave(&mut self, todo: &mut Actions) {
        let failed = matches!(self.state, State::Down { failed: true });
        self.state = State::Down { failed };
        todo.push(Action::Record);
        todo.push(Action::Quit);
    }

    fn begin_if_down(&mut self, then_if_finishing: Then, now: Moment, todo: &mut Actions) {
        let soonest = self.last_start.map(|last| last + self.rules.spacing());
        match &mut self.state {
            State::Down { .. } => {
                self.failures = 0;
                self.again = false;
                // What goes wrong from now on is news.
                self.told = Trouble::Recovered;
                self.begin(now, soonest, todo);
            }
            // An operator does not wait for the whole of a long backoff.
            State::Backoff { until } if soonest.is_none_or(|soonest| soonest < *until) => {
                self.failures = 0;
                self.begin(now, soonest, todo);
            }
            State::Finishing { then, .. } => {
                *then = then_if_finishing;
                todo.push(Action::Record);
            }
            State::Backoff { .. } | State::Starting(_) | State::Up { .. } | State::Stopping { .. } => {
                todo.push(Action::Record);
            }
        }
    }

    fn give_up_starting(&mut self, todo: &mut Actions) {
        match &mut self.state {
            State::Backoff { .. } | State::Starting(Stage::Settings) => self.lie_down(false),
            State::Finishing { then: then @ Then::Again, .. } => *then = Then::AsWanted,
            _ => {}
        }
        todo.push(Action::Record);
    }

    fn down(&mut self, now: Moment, todo: &mut Actions) {
        match &mut self.state {
            State::Backoff { .. } | State::Starting(Stage::Settings) => self.lie_down(false),
            // ./start was all that there was: it is undone.
            State::Down { failed: false } if self.prepared => {
                self.finish(super::Script::Stop, Then::AsWanted, todo);
                return;
            }
            State::Finishing { then, .. } => *then = Then::AsWanted,
            State::Up { .. } | State::Stopping { .. } | State::Starting(_) => return self.stop(now, todo),
            State::Down { .. } => {}
        }
        todo.push(Action::Record);
    }

    /// Asks the child to stop. One that was asked before is asked again; its time does not begin anew.
    pub(super) fn stop(&mut self, now: Moment, todo: &mut Actions) {
        let by = self.rules.stop.grace.map(|grace| now + grace);
        match &mut self.state {
            State::Up { pid, .. } => {
                self.state = State::Stopping { pid: *pid, paused: false, kill_at: by };
            }
            State::Stopping { paused, .. } => *paused = false,
            State::Starting(Stage::Preparing { pid: Some(_), kill_at }) => *kill_at = kill_at.or(by),
            _ => return,
        }
        todo.push(Action::SendAll(self.rules.stop.signal));
        // So that a paused one hears it.
        todo.push(Action::SendAll(Signal::SIGCONT));
        todo.push(Action::Record);
    }

    fn pause(&mut self, pause: bool, signal: Signal, todo: &mut Actions) {
        if let State::Up { paused, .. } | State::Stopping { paused, .. } = &mut self.state {
            *paused = pause;
            todo.push(Action::Record);
            todo.push(Action::SendAll(signal));
        }
    }

    /// Signals are for the service and for `./start`; what cleans up after it is left in peace.
    fn signal(&mut self, signal: Signal, todo: &mut Actions) {
        const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL];
        let hears = match self.state {
            State::Up { .. } | State::Stopping { .. } => true,
            State::Starting(Stage::Preparing { pid, .. }) => pid.is_some(),
            _ => false,
        };
        if hears && ENDING.contains(&signal) {
            self.asked = Some(signal);
        }
        match signal {
            Signal::SIGKILL if hears => todo.push(Action::SendAll(signal)),
            _ if hears => todo.push(Action::Send(signal)),
            _ => {}
        }
    }
}
