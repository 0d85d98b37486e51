//! The machine on an imagined directory: every state that can be reached, every event in it, and what must hold.
//!
//! The imagined directory does what it is told, or fails, or does a part of it; strangers take `current` away or the
//! directory down; and at each point multilog may be killed and its leftovers mended. Bytes are numbered as they
//! are written, so that one that is lost, doubled or out of its place shows.

use crate::machine::{Action, Again, Current, Event, PAUSE, Rule, State, Step, Waiting};
use crate::recover::{Found, Left, Mend, plan};
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;

/// A small log, so that the walk has an end: 7 bytes, of which a line end in the last 2 finishes it.
const RULE: Rule = Rule { size: 7, window: 2, processed: false };
/// At most two old logs.
const NUMBER: usize = 3;
/// The input: `.` is a byte of a line, `|` a newline. One line is longer than a log.
const INPUT: &[u8] = b"..|.|....|.........|";

/// The bytes of a file, by their places in the input.
type Bytes = Vec<usize>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct File {
    bytes: Bytes,
    finished: bool,
}

/// A log directory as it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    current: Option<File>,
    previous: Option<File>,
    processed: Option<File>,
    /// Whether multilog's descriptor leads to `current`.
    ours: bool,
    old: Vec<Bytes>,
    /// What was removed as too many, and what strangers took away.
    pruned: Vec<Bytes>,
    taken: Vec<Bytes>,
    /// Bytes of the input that were written, and that wait to be.
    written: usize,
    waiting: usize,
}

impl World {
    fn new() -> Self {
        Self { current: Some(File::default()), ours: true, ..Self::default() }
    }

    /// All that may happen now: the world after it, and the event that tells the machine.
    fn happenings(&self, state: State, action: Action, rule: &Rule) -> Vec<(Self, Told)> {
        let mut all = vec![(self.clone(), Told::Alarm), (self.clone(), Told::Clock(Duration::ZERO))];
        if matches!(state, State::Open(_)) {
            all.push((self.clone(), Told::End));
        }
        match action {
            Action::Ready => all.extend(self.more_input(state)),
            Action::Write(n) => {
                assert!(n > 0 && n <= self.waiting, "{n} of {}", self.waiting);
                all.push((self.clone(), Told::Failed));
                all.extend((1..=n).map(|part| self.write(part)));
            }
            Action::Do(step) => {
                all.push((self.clone(), Told::Failed));
                if step == Step::Process {
                    all.push((self.clone(), Told::Crashed));
                }
                all.extend(self.perform(step, rule));
            }
            Action::Wait(at) | Action::SayFailed(at) => all.push((self.clone(), Told::Clock(at))),
        }
        all
    }

    /// More of the input comes; or strangers take `current` away, which multilog looks for before it writes.
    fn more_input(&self, state: State) -> Vec<(Self, Told)> {
        if !matches!(state, State::Open(_)) {
            return vec![];
        }
        let rest = INPUT.len() - self.written - self.waiting;
        let mut all: Vec<_> = (1..=rest.min(4))
            .map(|n| (Self { waiting: self.waiting + n, ..self.clone() }, Told::Lines))
            .collect();
        if self.waiting > 0 {
            all.push((self.clone(), Told::Lines));
        }
        if self.ours && self.taken.is_empty() && !self.bytes().is_empty() {
            let mut world = Self { ours: false, ..self.clone() };
            let current = world.current.take().unwrap_or_default();
            world.taken.push(current.bytes);
            all.push((world, Told::Taken));
        }
        all
    }

    fn bytes(&self) -> &[usize] {
        self.current.as_ref().map_or(&[], |current| &current.bytes)
    }

    fn write(&self, n: usize) -> (Self, Told) {
        let mut world = self.clone();
        let bytes = self.written..self.written + n;
        let current = world.current.as_mut().filter(|_| self.ours).expect("what is written is current");
        current.bytes.extend(bytes.clone());
        world.written += n;
        world.waiting -= n;
        (world, Told::Wrote(n, INPUT[bytes.end - 1] == b'|'))
    }

    /// The step done; none where it cannot be.
    fn perform(&self, step: Step, rule: &Rule) -> Option<(Self, Told)> {
        let mut world = self.clone();
        match step {
            Step::Sync | Step::SyncLast | Step::Leave | Step::SyncState | Step::TakeState => {}
            Step::Rename => {
                assert!(self.previous.is_none(), "the log before is kept before the next is finished");
                match world.current.take_if(|_| self.ours) {
                    Some(current) => world.previous = Some(current),
                    None => return Some((world, Told::Gone)),
                }
                world.ours = false;
            }
            Step::Create | Step::Begin | Step::Reopen => {
                world.current.get_or_insert_default();
                world.ours = true;
            }
            Step::Mark => world.previous.as_mut()?.finished = true,
            Step::Process => {
                assert!(rule.processed);
                world.processed = Some(File { bytes: self.previous.clone()?.bytes, finished: false });
            }
            Step::SyncProcessed => world.processed.as_mut()?.finished = true,
            Step::RemovePrevious => world.previous = None,
            Step::Keep => world.old.push(world.previous.take()?.bytes),
            Step::KeepProcessed => world.old.push(world.processed.take()?.bytes),
            Step::Prune => world.prune(),
            Step::MarkLast => world.current.as_mut()?.finished = true,
        }
        let told = if step == Step::Reopen { Told::Opened(self.bytes().len()) } else { Told::Done };
        Some((world, told))
    }

    fn prune(&mut self) {
        let many = self.old.len().saturating_sub(NUMBER - 1);
        self.pruned.extend(self.old.drain(..many));
    }

    /// Every byte that was written is in one place, each file is a piece of the input, none is too large.
    fn check(&self) {
        let (current, previous) = (self.current.as_ref(), self.previous.as_ref());
        let twice = self.processed.as_ref().filter(|_| self.previous.is_none());
        let ends = [current, previous, twice].into_iter().flatten().map(|file| &file.bytes);
        let mut files: Vec<_> = self.old.iter().chain(&self.pruned).chain(&self.taken).chain(ends).collect();
        files.sort_by_key(|bytes| bytes.first());
        for bytes in &files {
            assert!(bytes.len() as u64 <= RULE.size, "{self:?}");
        }
        let all: Bytes = files.into_iter().flatten().copied().collect();
        assert!(all.into_iter().eq(0..self.written), "{self:?}");
        // A log ends within a line only where it is full, or a stranger cut it.
        for bytes in self.old.iter().chain(&self.pruned) {
            let last = bytes.last().map(|last| INPUT[*last]);
            assert!(
                last == Some(b'|') || bytes.len() as u64 == RULE.size || !self.taken.is_empty(),
                "{self:?}"
            );
        }
    }

    /// Killed now, and mended by the next multilog: nothing of what was written is lost.
    fn check_killed(&self) {
        let left = |file: &Option<File>| file.as_ref().map(|f| Left { finished: f.finished, linked: false });
        let found = Found {
            current: left(&self.current),
            previous: left(&self.previous),
            processed: left(&self.processed),
        };
        let mut world = self.clone();
        for mend in plan(&found) {
            match mend {
                Mend::Remove("previous") => world.previous = None,
                Mend::Remove("processed") => world.processed = None,
                Mend::Remove(_) | Mend::Empty(_) => {}
                Mend::KeepSafe(name) | Mend::KeepUnfinished(name) => {
                    let file = match name {
                        "current" => world.current.take(),
                        "previous" => world.previous.take(),
                        _ => world.processed.take(),
                    };
                    world.old.push(file.expect("what is kept was found").bytes);
                }
                Mend::Prune => world.prune(),
            }
        }
        assert!(world.old.len() < NUMBER || found.current.is_some_and(|current| current.finished));
        let mut all: Bytes =
            [&world.old, &world.pruned, &world.taken].into_iter().flatten().flatten().copied().collect();
        let ends = [&world.current, &world.previous, &world.processed].into_iter().flatten();
        all.extend(ends.flat_map(|file| file.bytes.iter().copied()));
        all.sort_unstable();
        all.dedup();
        assert!(all.into_iter().eq(0..world.written), "{self:?} became {world:?}");
    }
}

/// An event, without what it borrows.
#[derive(Clone, Copy, Debug)]
enum Told {
    Lines,
    Taken,
    Wrote(usize, bool),
    Done,
    Opened(usize),
    Failed,
    Gone,
    Crashed,
    Alarm,
    End,
    Clock(Duration),
}

/// Tells the machine. Each time begins at zero, so that all waits are alike.
fn tell(state: State, rule: &Rule, world: &World, told: Told) -> (State, Action) {
    let waiting = &INPUT[world.written..world.written + world.waiting];
    let line_end = |n: usize| waiting[..n].iter().rposition(|c| *c == b'|').map(|at| at + 1);
    let event = match told {
        Told::Lines => Event::Lines(Waiting { len: waiting.len(), line_end: &line_end }),
        Told::Taken => Event::Taken,
        Told::Wrote(n, at_line_end) => Event::Wrote(n, at_line_end),
        Told::Done => Event::Done,
        Told::Opened(size) => Event::Opened(size as u64),
        Told::Failed => Event::Failed(Duration::ZERO),
        Told::Gone => Event::Gone(Duration::ZERO),
        Told::Crashed => Event::Crashed(Duration::ZERO),
        Told::Alarm => Event::Alarm,
        Told::End => Event::End,
        Told::Clock(now) => Event::Clock(now),
    };
    let (next, action) = state.step(rule, event);
    (at_zero(next, told), at_zero_too(action, told))
}

/// A wait that begins when another ends is moved to where that one began.
fn at_zero(state: State, told: Told) -> State {
    match (state, told) {
        (State::Retry { again, at }, Told::Clock(now)) if at > PAUSE => State::Retry { again, at: at - now },
        _ => state,
    }
}

fn at_zero_too(action: Action, told: Told) -> Action {
    match (action, told) {
        (Action::SayFailed(at), Told::Clock(now)) => Action::SayFailed(at - now),
        _ => action,
    }
}

/// What must hold of any step, whatever the world is.
fn check_step(before: (State, Action), told: Told, after: (State, Action), world: &World) {
    match after {
        (State::Open(current), Action::Ready | Action::Write(_)) => {
            assert!(current.size <= RULE.size, "{current:?}");
            assert_eq!(current.size, world.bytes().len() as u64, "it knows how much is in current");
        }
        (State::Doing(step), Action::Do(done)) => assert_eq!(step, done),
        // A deadline never spins: it lies ahead, and is not moved by what happens meanwhile.
        (State::Retry { at, .. }, Action::Wait(until) | Action::SayFailed(until)) => {
            assert_eq!((at, until), (PAUSE, PAUSE));
            let waited = matches!(before.0, State::Retry { .. });
            assert!(!waited || matches!(told, Told::Clock(_) | Told::Alarm | Told::End));
        }
        (State::Closed, Action::Ready) => {}
        other => panic!("{before:?} and {told:?} gave {other:?}"),
    }
}

fn start() -> (World, State, Action) {
    (World::new(), State::open(0), Action::Ready)
}

fn walk(rule: Rule) -> usize {
    let mut seen = HashSet::new();
    let mut todo = vec![start()];
    while let Some((world, state, action)) = todo.pop() {
        let held = format!("{action:?}");
        if !seen.insert((world.clone(), state, held)) {
            continue;
        }
        world.check();
        world.check_killed();
        for (after, told) in world.happenings(state, action, &rule) {
            let next = tell(state, &rule, &after, told);
            check_step((state, action), told, next, &after);
            todo.push((after, next.0, next.1));
        }
    }
    seen.len()
}

#[test]
fn in_every_state_that_can_be_reached_no_byte_is_lost_or_doubled_and_no_log_too_large() {
    for processed in [false, true] {
        let states = walk(Rule { processed, ..RULE });
        assert!(states > 1000, "{states} states only");
    }
}

#[test]
fn what_is_there_no_more_is_left_out_and_a_directory_that_is_gone_is_waited_for() {
    let gone = |step| State::Doing(step).step(&RULE, Event::Gone(Duration::ZERO)).0;
    assert_eq!(gone(Step::Rename), State::Doing(Step::Begin));
    assert_eq!(gone(Step::Mark), State::Doing(Step::Prune));
    assert_eq!(gone(Step::Keep), State::Doing(Step::Prune));
    assert_eq!(gone(Step::RemovePrevious), State::Doing(Step::TakeState));
    for step in [Step::Create, Step::Begin] {
        assert_eq!(gone(step), State::Retry { again: Again::Step(Step::Reopen), at: PAUSE });
    }
}

#[test]
fn a_truncated_current_counts_from_where_it_is() {
    let state = State::Open(Current { size: 5, at_line_end: false, alarmed: false });
    let (state, _) = state.step(&RULE, Event::Ours(0));
    assert_eq!(state, State::open(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_course_of_events_keeps_every_byte(choices in prop::collection::vec(any::<u16>(), 1..400), processed: bool) {
        let rule = Rule { processed, ..RULE };
        let (mut world, mut state, mut action) = start();
        for choice in choices {
            let happenings = world.happenings(state, action, &rule);
            let (after, told) = happenings[usize::from(choice) % happenings.len()].clone();
            let next = tell(state, &rule, &after, told);
            check_step((state, action), told, next, &after);
            after.check();
            after.check_killed();
            (world, state, action) = (after, next.0, next.1);
        }
    }
}
