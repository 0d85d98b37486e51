//! One log directory as a machine: when to write, when to rotate, what comes after what, and what to do after
//! trouble. It decides and does nothing; `logdir.rs` does and decides nothing.
//!
//! ```text
//! Open ──full──▶ Doing(Sync → Rename → Create → Mark → Keep, or Process … KeepProcessed → Prune) ──▶ Open
//!   │                        └──failed──▶ Retry, five seconds, the same step again
//!   └──end──▶ Doing(SyncLast → MarkLast) ──▶ Closed
//! ```

use std::time::Duration;

/// How long to wait after trouble.
pub const PAUSE: Duration = Duration::from_secs(5);
/// A log may end this many bytes before its size, if that is at a line end.
pub const WINDOW: u64 = 2000;

/// What a directory's logs are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Bytes of one log at the most.
    pub size: u64,
    /// So many bytes before its size a line end finishes a log.
    pub window: u64,
    /// Whether a finished log goes through a processor.
    pub processed: bool,
}

/// The file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Current {
    /// Bytes in it.
    pub size: u64,
    /// Whether the last of them is a newline, or there is none.
    pub at_line_end: bool,
    /// Whether ALRM came within a line: rotate when it ends.
    pub alarmed: bool,
}

/// One thing to do in the directory. Each can be done again after it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `current` to disk.
    Sync,
    /// `current` becomes `previous`.
    Rename,
    /// A new `current`.
    Create,
    /// `previous` is complete: its x bit.
    Mark,
    /// `previous` becomes `@LABEL.s`.
    Keep,
    /// The processor makes `processed` and `newstate` of `previous` and `state`.
    Process,
    /// `processed` to disk, and its x bit.
    SyncProcessed,
    /// `newstate` to disk.
    SyncState,
    /// `previous` goes.
    RemovePrevious,
    /// `newstate` becomes `state`.
    TakeState,
    /// `processed` becomes `@LABEL.s`.
    KeepProcessed,
    /// The oldest logs beyond the number go.
    Prune,
    /// Somebody took `current` away: to disk what we wrote to it.
    Leave,
    /// A new `current` in place of the one that was taken.
    Begin,
    /// The directory itself is gone: make and open it as at the start.
    Reopen,
    /// At the end: `current` to disk.
    SyncLast,
    /// At the end: `current` is complete: its x bit.
    MarkLast,
}

/// Where a log directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// `current` takes lines.
    Open(Current),
    /// A step is to be done.
    Doing(Step),
    /// Something failed and is tried again at this time.
    Retry {
        /// What is tried again.
        again: Again,
        /// When, on the clock of the events.
        at: Duration,
    },
    /// Finished, on disk, and marked so.
    Closed,
}

/// What is tried again after trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Again {
    /// To write to `current`.
    Write(Current),
    /// A step.
    Step(Step),
    /// The processor, which a signal ended: first it is also said to have failed.
    Processor,
}

/// What waits to be written.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    /// Bytes.
    pub len: usize,
    /// Bytes up to and with the last newline among the first so many.
    pub line_end: &'a dyn Fn(usize) -> Option<usize>,
}

/// What happened. Times are on any clock that does not jump.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// There is something to write.
    Lines(Waiting<'a>),
    /// The file called `current` is still ours, and of this size.
    Ours(u64),
    /// The file called `current` is another one, or there is none.
    Taken,
    /// So many bytes were written; whether the last one was a newline.
    Wrote(usize, bool),
    /// The step is done.
    Done,
    /// The directory is open again, its `current` of this size.
    Opened(u64),
    /// The write or the step failed.
    Failed(Duration),
    /// The step failed as what it works on is not there.
    Gone(Duration),
    /// A signal ended the processor.
    Crashed(Duration),
    /// ALRM.
    Alarm,
    /// The end of input, or TERM.
    End,
    /// It is this late.
    Clock(Duration),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something is to be written.
    Ready,
    /// Write so many bytes of what waits.
    Write(usize),
    /// Do this step.
    Do(Step),
    /// Wait until then.
    Wait(Duration),
    /// Say that the processor failed, and wait until then.
    SayFailed(Duration),
}

impl State {
    /// `current` as it was found or made, with so many bytes.
    pub fn open(size: u64) -> Self {
        Self::Open(Current { size, at_line_end: true, alarmed: false })
    }

    /// What comes of an event: the next state, and what to do in it. What cannot happen changes nothing.
    #[must_use]
    pub fn step(self, rule: &Rule, event: Event<'_>) -> (Self, Action) {
        match self {
            Self::Open(current) => current.step(rule, event),
            Self::Doing(step) => match event {
                Event::Done => step.done(rule),
                Event::Opened(size) if step == Step::Reopen => (Self::open(size), Action::Ready),
                Event::Failed(now) => Self::retry(Again::Step(step), now),
                Event::Gone(now) => step.gone(now),
                Event::Crashed(now) if step == Step::Process => Self::retry(Again::Processor, now),
                _ => Self::begin(step),
            },
            Self::Retry { again, at } => match event {
                Event::Clock(now) if now >= at => again.now(now),
                Event::Alarm => (Self::Retry { again: again.alarmed(), at }, Action::Wait(at)),
                _ => (self, Action::Wait(at)),
            },
            Self::Closed => (self, Action::Ready),
        }
    }

    fn begin(step: Step) -> (Self, Action) {
        (Self::Doing(step), Action::Do(step))
    }

    fn retry(again: Again, now: Duration) -> (Self, Action) {
        let at = now + PAUSE;
        (Self::Retry { again, at }, Action::Wait(at))
    }
}

impl Current {
    fn step(self, rule: &Rule, event: Event<'_>) -> (State, Action) {
        let stay = |current, action| (State::Open(current), action);
        match event {
            Event::Lines(waiting) if waiting.len == 0 => stay(self, Action::Ready),
            Event::Lines(_) if self.size >= rule.size => State::begin(Step::Sync),
            Event::Lines(waiting) => stay(self, Action::Write(self.piece(rule, waiting))),
            Event::Ours(size) => {
                stay(Self { size, at_line_end: self.at_line_end || size == 0, ..self }, Action::Ready)
            }
            Event::Taken => State::begin(Step::Leave),
            Event::Wrote(bytes, at_line_end) => {
                let written = Self { size: self.size + bytes as u64, at_line_end, ..self };
                match written.is_finished(rule) {
                    true => State::begin(Step::Sync),
                    false => stay(written, Action::Ready),
                }
            }
            Event::Failed(now) | Event::Gone(now) => State::retry(Again::Write(self), now),
            Event::Alarm if self.size > 0 && self.at_line_end => State::begin(Step::Sync),
            Event::Alarm => stay(Self { alarmed: self.size > 0, ..self }, Action::Ready),
            Event::End => State::begin(Step::SyncLast),
            Event::Done | Event::Opened(_) | Event::Crashed(_) | Event::Clock(_) => stay(self, Action::Ready),
        }
    }

    /// How much of what waits goes into this log: all of it; or up to the last line end near its size, where it ends;
    /// or, where the line is longer than that, exactly to its size.
    fn piece(self, rule: &Rule, waiting: Waiting<'_>) -> usize {
        let room = usize::try_from(rule.size - self.size).unwrap_or(usize::MAX);
        let most = waiting.len.min(room);
        let is_near = |bytes: usize| self.size + bytes as u64 + rule.window >= rule.size;
        if !is_near(most) {
            return most;
        }
        // What fits may end within a line of which the rest does not: it begins in the next log.
        (waiting.line_end)(most).filter(|end| is_near(*end)).unwrap_or(most)
    }

    fn is_finished(self, rule: &Rule) -> bool {
        self.at_line_end && (self.alarmed || self.size + rule.window >= rule.size)
    }
}

impl Step {
    fn done(self, rule: &Rule) -> (State, Action) {
        let next = match self {
            Self::Sync => Self::Rename,
            Self::Rename => Self::Create,
            Self::Create => Self::Mark,
            Self::Mark if rule.processed => Self::Process,
            Self::Mark => Self::Keep,
            Self::Process => Self::SyncProcessed,
            Self::SyncProcessed => Self::SyncState,
            Self::SyncState => Self::RemovePrevious,
            Self::RemovePrevious => Self::TakeState,
            Self::TakeState => Self::KeepProcessed,
            Self::Keep | Self::KeepProcessed => Self::Prune,
            Self::Leave => Self::Begin,
            Self::SyncLast => Self::MarkLast,
            Self::Prune | Self::Begin | Self::Reopen => return (State::open(0), Action::Ready),
            Self::MarkLast => return (State::Closed, Action::Ready),
        };
        State::begin(next)
    }

    /// What is not there cannot be kept: somebody took it, and the rest is done without it. A file that cannot be
    /// made in the directory as there is no such directory any more is trouble.
    fn gone(self, now: Duration) -> (State, Action) {
        match self {
            Self::Rename => State::begin(Self::Begin),
            Self::Mark | Self::Keep | Self::Process | Self::KeepProcessed => State::begin(Self::Prune),
            Self::RemovePrevious => State::begin(Self::TakeState),
            Self::TakeState => State::begin(Self::KeepProcessed),
            Self::Create | Self::Begin | Self::SyncProcessed | Self::SyncState => {
                State::retry(Again::Step(Self::Reopen), now)
            }
            Self::Sync | Self::Prune | Self::Leave | Self::Reopen | Self::SyncLast | Self::MarkLast => {
                State::retry(Again::Step(self), now)
            }
        }
    }
}

impl Again {
    fn now(self, now: Duration) -> (State, Action) {
        match self {
            Self::Write(current) => (State::Open(current), Action::Ready),
            Self::Step(step) => State::begin(step),
            Self::Processor => {
                let at = now + PAUSE;
                (State::Retry { again: Self::Step(Step::Process), at }, Action::SayFailed(at))
            }
        }
    }

    fn alarmed(self) -> Self {
        match self {
            Self::Write(current) => Self::Write(Current { alarmed: current.size > 0, ..current }),
            other => other,
        }
    }
}
