//! What becomes of a child that ended.

use super::{Action, Actions, Machine, Moment, Script, Stage, State, Then, Trouble};
use servicedir::status::Want;
use unix::process::{Exit, Signal};

/// Exit codes of `./finish` that mean: failed for good. 100 is encore's, 125 is s6's.
const FAILED: [i32; 2] = [100, 125];

impl Machine {
    pub(super) fn exited(&mut self, exit: Exit, now: Moment, todo: &mut Actions) {
        match self.state {
            State::Starting(Stage::Preparing { pid: Some(_), .. }) => self.prepared_or_not(exit, now, todo),
            State::Up { since, .. } => self.ended_by_itself(exit, since, now, todo),
            State::Stopping { .. } => {
                self.failures = 0;
                self.again = false;
                self.finish(Script::Finish, Then::AsWanted, todo);
            }
            State::Finishing { pid: Some(_), then, .. } => {
                let failed = matches!(exit, Exit::Code(code) if FAILED.contains(&code));
                // What an operator asked for meanwhile counts more.
                let then = if failed && then != Then::Again { Then::Failed } else { then };
                self.come_down(then, now, todo);
            }
            _ => {}
        }
    }

    fn prepared_or_not(&mut self, exit: Exit, now: Moment, todo: &mut Actions) {
        match (exit, self.want) {
            (Exit::Code(0), Want::Up | Want::Nothing) if !self.leaving => self.prepare_is_done(todo),
            (Exit::Code(0), _) => {
                self.prepared = true;
                self.finish(Script::Stop, Then::AsWanted, todo);
            }
            (_, Want::Down) => self.come_down(Then::AsWanted, now, todo),
            // Whoever could have told was killed: it is done once more.
            (Exit::Unknown, _) => self.come_down(Then::Again, now, todo),
            _ => self.come_down(Then::Failed, now, todo),
        }
    }

    fn ended_by_itself(&mut self, exit: Exit, since: Moment, now: Moment, todo: &mut Actions) {
        let code = match exit {
            Exit::Code(code) => u8::try_from(code).ok(),
            Exit::Signal(_) | Exit::Unknown => None,
        };
        let well = now.saturating_sub(since) >= self.rules.backoff.reset;
        // Who was sent HUP or TERM and ends in order, or was killed, does what an operator wants.
        let by_kill = matches!(exit, Exit::Signal(9) | Exit::Unknown);
        let killed = self.asked == Some(Signal::SIGKILL) && by_kill;
        self.again = !(killed || self.asked.is_some() && in_order(exit));
        self.failures = if well || !self.again { 0 } else { self.failures.saturating_add(1) };
        let then = if code.is_some_and(|code| self.rules.permanent.contains(code)) {
            Then::Failed
        } else {
            Then::AsWanted
        };
        if then == Then::Failed || code.is_some_and(|code| self.rules.done.contains(code)) {
            // On record from now on: whoever comes after us starts nothing.
            self.want = Want::Nothing;
        } else if self.again && !in_order(exit) {
            self.tell(Trouble::Crash, todo);
        }
        self.finish(Script::Finish, then, todo);
    }

    /// Cleans up, if there is something that does.
    pub(super) fn finish(&mut self, script: Script, then: Then, todo: &mut Actions) {
        self.state = State::Finishing { script, pid: None, kill_at: None, then };
        todo.push(Action::Launch(script));
    }

    /// There is no child any more.
    pub(super) fn come_down(&mut self, then: Then, now: Moment, todo: &mut Actions) {
        if self.leaving {
            self.lie_down(then == Then::Failed);
            return self.leave(todo);
        }
        match (then, self.want) {
            (Then::Failed, Want::Up | Want::Nothing) => {
                self.want = Want::Nothing;
                self.lie_down(true);
                todo.push(Action::Record);
                self.tell(Trouble::Failed, todo);
            }
            (Then::Again, _) | (Then::AsWanted, Want::Up) => self.start_again(now, todo),
            (Then::AsWanted, Want::Down | Want::Nothing) | (Then::Failed, Want::Down) => {
                self.lie_down(false);
                todo.push(Action::Record);
            }
        }
    }

    pub(super) fn lie_down(&mut self, failed: bool) {
        self.state = State::Down { failed };
        self.prepared = false;
    }

    fn start_again(&mut self, now: Moment, todo: &mut Actions) {
        let chance = self.throw();
        let delay = self.rules.delay(self.failures, chance);
        self.begin(now, self.last_start.map(|last| last + delay), todo);
        if matches!(self.state, State::Backoff { .. }) && self.failures > 1 {
            self.tell(Trouble::Backoff, todo);
        }
    }

    /// A number from 0 to 999 that one cannot guess (xorshift32).
    fn throw(&mut self) -> u32 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        self.chance % 1000
    }
}

/// Whether an end is one that nobody needs to be told of: exit code 0, or a signal that people and systems stop
/// programs with.
fn in_order(exit: Exit) -> bool {
    const STOPPING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE];
    match exit {
        Exit::Code(code) => code == 0,
        Exit::Signal(signal) => STOPPING.iter().any(|known| *known as i32 == signal),
        Exit::Unknown => false,
    }
}
