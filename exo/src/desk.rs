//! Where work waits for workers that share an interpreter, which only one of them can use at a time.
//!
//! A worker that comes back takes what waits at once, and keeps the interpreter. To wake another for each workitem would
//! cost more than a short one does: it sleeps as long as one that is at work will soon be back. But whoever blocks must
//! not hold up the rest: while work waits one of the idle ones watches, and takes what has waited for [`PATIENCE`]. Where
//! nobody will be back soon one is called at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What takes longer is not short, and what has waited for so long is taken by another.
pub const PATIENCE: Duration = Duration::from_millis(1);

/// The desk. Clones share it.
#[derive(Debug)]
pub struct Desk<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    rota: Mutex<Rota<T>>,
    bell: Condvar,
}

impl<T> Shared<T> {
    fn look(&self) -> MutexGuard<'_, Rota<T>> {
        self.rota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Desk<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Self(Arc::new(Shared { rota: Mutex::default(), bell: Condvar::new() }))
    }
}

impl<T> Desk<T> {
    /// Gives work to whoever is there first. Never blocks.
    pub fn put(&self, work: T) {
        let mut rota = self.0.look();
        let now = Instant::now();
        rota.waiting.push_back((now, work));
        let call = rota.call(now);
        drop(rota);
        if call {
            self.0.bell.notify_one();
        }
    }

    /// No more work is given, and what waits is not begun.
    pub fn close(&self) {
        let mut rota = self.0.look();
        rota.over = true;
        rota.waiting.clear();
        drop(rota);
        self.0.bell.notify_all();
    }

    /// A place at the desk, for one worker.
    pub fn seat(&self) -> Seat<T> {
        Seat { desk: self.clone(), begun: None }
    }
}

/// A worker's place.
#[derive(Debug)]
pub struct Seat<T> {
    desk: Desk<T>,
    /// Since when its worker has been at work.
    begun: Option<Instant>,
}

impl<T> Seat<T> {
    /// What was in hand is done. What waits, taken at once.
    pub fn back(&mut self) -> Option<T> {
        let mut rota = self.desk.0.look();
        let now = Instant::now();
        if let Some(begun) = self.begun.take() {
            rota.back(now.duration_since(begun));
        }
        let work = rota.take(now)?;
        self.begun = Some(now);
        Some(work)
    }

    /// Sleeps until there is work to be taken. `None` = there will be no more.
    pub fn wait(&mut self) -> Option<T> {
        let Shared { rota, bell } = &*self.desk.0;
        let mut rota = rota.lock().unwrap_or_else(PoisonError::into_inner);
        rota.idle += 1;
        let mut seen = rota.taken;
        let now = loop {
            let now = Instant::now();
            if rota.over || rota.ripe(now) {
                break now;
            }
            let watch = rota.watch(now, seen);
            seen = rota.taken;
            rota = match watch {
                Some(time) => {
                    rota.watched = true;
                    let waited = bell.wait_timeout(rota, time).unwrap_or_else(PoisonError::into_inner);
                    let mut rota = waited.0;
                    rota.watched = false;
                    rota
                }
                None => bell.wait(rota).unwrap_or_else(PoisonError::into_inner),
            };
            rota.called = false;
        };
        rota.idle -= 1;
        let work = rota.take(now)?;
        self.begun = Some(now);
        if rota.call(now) {
            bell.notify_one();
        }
        Some(work)
    }
}

/// Who is at work, and what is to be done: no clock, nobody waits here.
#[derive(Debug)]
struct Rota<T> {
    /// With the moment from which on it has waited.
    waiting: VecDeque<(Instant, T)>,
    busy: usize,
    idle: usize,
    /// An idle one looks again by itself.
    watched: bool,
    /// An idle one is called and not there yet.
    called: bool,
    over: bool,
    /// When work was taken last, and how often.
    last: Option<Instant>,
    taken: u64,
    /// What was done last took long.
    long: bool,
}

impl<T> Default for Rota<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: 0,
            idle: 0,
            watched: false,
            called: false,
            over: false,
            last: None,
            taken: 0,
            long: false,
        }
    }
}

impl<T> Rota<T> {
    fn take(&mut self, now: Instant) -> Option<T> {
        let (_, work) = self.waiting.pop_front()?;
        self.busy += 1;
        self.taken += 1;
        self.last = Some(now);
        Some(work)
    }

    fn back(&mut self, after: Duration) {
        self.busy -= 1;
        self.long = after >= PATIENCE;
    }

    /// Whether one who is at work will probably be back before long.
    fn soon(&self, now: Instant) -> bool {
        let fresh = |last: Instant| now.duration_since(last) < PATIENCE;
        self.busy > 0 && !self.long && self.last.is_some_and(fresh)
    }

    /// Whether what waits is to be taken by one who is idle.
    fn ripe(&self, now: Instant) -> bool {
        self.waiting
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since) >= PATIENCE || !self.soon(now))
    }

    /// How long an idle one may sleep that has seen so much work taken; `None` = until it is called.
    fn watch(&self, now: Instant, seen: u64) -> Option<Duration> {
        let rest = match self.waiting.front() {
            Some((since, _)) => PATIENCE.saturating_sub(now.duration_since(*since)),
            None if self.taken != seen => PATIENCE,
            None => return None,
        };
        (!self.watched).then_some(rest)
    }

    /// Whether an idle one is to be called; then it is.
    fn call(&mut self, now: Instant) -> bool {
        let cared_for = self.called || (self.watched && self.soon(now));
        let call = self.idle > 0 && !self.waiting.is_empty() && !cared_for;
        self.called |= call;
        call
    }
}

#[cfg(test)]
mod tests;
