use super::*;
use std::sync::mpsc;
use std::thread;

const LONG: Duration = Duration::from_secs(60);

/// A rota with so many idle workers.
fn rota(idle: usize) -> (Rota<u32>, Instant) {
    (Rota { idle, ..Rota::default() }, Instant::now())
}

impl Rota<u32> {
    fn put(&mut self, now: Instant, work: u32) -> bool {
        self.waiting.push_back((now, work));
        self.call(now)
    }

    /// One that was called is there and takes work.
    fn comes(&mut self, now: Instant) -> Option<u32> {
        self.called = false;
        self.idle -= 1;
        self.take(now)
    }
}

#[test]
fn one_is_called_for_the_first_and_one_to_watch_but_nobody_for_what_follows() {
    let (mut rota, now) = rota(3);
    assert!(rota.put(now, 1));
    assert!(!rota.put(now, 2), "one is called already");
    assert_eq!(rota.comes(now), Some(1));
    assert!(rota.call(now), "who watches what still waits?");
    rota.called = false;
    assert!(!rota.ripe(now), "the first will be back soon");
    assert_eq!(rota.watch(now, 0), Some(PATIENCE));
    rota.watched = true;
    assert_eq!(rota.watch(now, 0), None, "one is enough");
    assert!(!rota.put(now, 3));
}

#[test]
fn what_has_waited_for_too_long_is_taken_by_another() {
    let (mut rota, now) = rota(2);
    rota.put(now, 1);
    rota.comes(now);
    rota.put(now, 2);
    assert!(!rota.ripe(now + PATIENCE / 2));
    assert_eq!(rota.watch(now + PATIENCE / 4, 0), Some(PATIENCE / 4 * 3));
    assert!(rota.ripe(now + PATIENCE));
}

#[test]
fn where_nobody_will_be_back_soon_one_is_called_at_once() {
    let (mut rota, now) = rota(2);
    let later = now + PATIENCE;
    rota.put(now, 1);
    rota.comes(now);
    rota.watched = true;
    assert!(rota.put(later, 2), "the one at work has been so for long");
    assert!(rota.ripe(later));
}

#[test]
fn after_work_that_took_long_nobody_is_expected_back_soon() {
    let (mut rota, now) = rota(3);
    rota.put(now, 1);
    rota.comes(now);
    rota.put(now, 2);
    rota.comes(now);
    rota.watched = true;
    rota.back(PATIENCE);
    assert!(rota.put(now, 3));
    assert!(rota.ripe(now));
}

#[test]
fn who_watches_goes_on_as_long_as_work_is_taken() {
    let (mut rota, now) = rota(2);
    rota.put(now, 1);
    assert_eq!(rota.comes(now), Some(1));
    assert_eq!(rota.watch(now, 0), Some(PATIENCE), "more may come");
    assert_eq!(rota.watch(now, 1), None, "nothing was taken since");
}

/// Work that was begun, and what lets its worker go.
type Begun = (u32, mpsc::Sender<()>);

/// Workers at a desk, each of which does what it is given: it tells of it and waits to be let go.
fn workers(desk: &Desk<u32>, number: usize) -> (mpsc::Receiver<Begun>, Vec<thread::JoinHandle<()>>) {
    let (tell, told) = mpsc::channel();
    let work = |mut seat: Seat<u32>, tell: mpsc::Sender<_>| {
        move || {
            while let Some(work) = seat.back().or_else(|| seat.wait()) {
                let (go, wait) = mpsc::channel();
                let _ = tell.send((work, go));
                let _ = wait.recv();
            }
        }
    };
    let threads = (0..number).map(|_| thread::spawn(work(desk.seat(), tell.clone()))).collect();
    (told, threads)
}

#[test]
fn as_many_are_at_work_as_there_are_workers_and_no_more() {
    let desk = Desk::default();
    let (told, threads) = workers(&desk, 8);
    (0..20).for_each(|work| desk.put(work));
    let mut held: Vec<_> = (0..8).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    assert!(told.try_recv().is_err());
    // One that is quick goes through while the others block.
    for _ in 8..20 {
        held.pop().unwrap().1.send(()).unwrap();
        held.push(told.recv_timeout(LONG).unwrap());
    }
    let mut last: Vec<_> = held.iter().map(|(work, _)| *work).collect();
    last.sort_unstable();
    assert_eq!(last.pop(), Some(19));
    desk.close();
    drop(held);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn all_work_is_done_once_by_whoever_is_there() {
    let desk = Desk::default();
    let (told, threads) = workers(&desk, 3);
    let giver = desk.clone();
    let giving = thread::spawn(move || (0..10_000).for_each(|work| giver.put(work)));
    let mut done: Vec<u32> = (0..10_000).map(|_| told.recv_timeout(LONG).unwrap().0).collect();
    done.sort_unstable();
    assert!(done.into_iter().eq(0..10_000));
    giving.join().unwrap();
    desk.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn what_waits_when_it_is_closed_is_not_begun() {
    let desk = Desk::default();
    let (told, threads) = workers(&desk, 1);
    desk.put(1);
    let (_, go) = told.recv_timeout(LONG).unwrap();
    desk.put(2);
    desk.close();
    drop(go);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(told.recv().is_err(), "the second was begun");
}
