//! Stories with real files.

use super::super::{Filter, History, Order, Outcome};
use super::*;
use std::sync::{Arc, Mutex};

const KEEP: Duration = Duration::from_secs(90 * 86_400);

fn row(n: i64) -> Row {
    let started = moment::now() + n;
    Row {
        participant: "sizer".into(),
        sid: format!("0!s!w{n}"),
        wfid: format!("w{n}"),
        workflow: "test".into(),
        started,
        ended: started + 1000 * n,
        wait: (n % 2 == 0).then_some(n),
        outcome: if n % 10 == 0 { Outcome::Failed } else { Outcome::Replied },
        attempt: 1,
        error: if n % 10 == 0 { "ValueError: boom".into() } else { String::new() },
    }
}

fn write(state: &Path, rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let sayer = Arc::clone(&said);
    let mut writer =
        Writer::start(state, KEEP, Box::new(move |line| sayer.lock().unwrap().push(line))).unwrap();
    rows.into_iter().for_each(|row| writer.write(row));
    assert_eq!(writer.take_dropped(), 0);
    drop(writer);
    Arc::into_inner(said).unwrap().into_inner().unwrap()
}

fn count(state: &Path) -> u64 {
    History::open(state).unwrap().unwrap().stats(&Filter::default()).unwrap().count
}

#[test]
fn what_was_written_is_there_after_the_end_and_can_be_asked_for() {
    let state = tempfile::tempdir().unwrap();
    assert!(History::open(state.path()).unwrap().is_none());
    let rows: Vec<_> = (1..=100).map(row).collect();
    assert_eq!(write(state.path(), rows.clone()), Vec::<String>::new());
    let history = History::open(state.path()).unwrap().unwrap();
    let all = Filter::default();
    let newest = history.rows(&all, Order::Newest, 2).unwrap();
    assert_eq!(newest, [rows[99].clone(), rows[98].clone()]);
    assert_eq!(history.rows(&all, Order::Slowest, 1).unwrap(), [rows[99].clone()]);
    let one = Filter { wfid: Some("w7".into()), ..Filter::default() };
    assert_eq!(history.rows(&one, Order::Newest, 9).unwrap(), [rows[6].clone()]);
    for (filter, count) in [
        (Filter { participant: Some("sizer".into()), ..Filter::default() }, 100),
        (Filter { participant: Some("other".into()), ..Filter::default() }, 0),
        (Filter { since: Some(rows[90].started), ..Filter::default() }, 10),
        (Filter { problems: true, ..Filter::default() }, 10),
    ] {
        assert_eq!(history.stats(&filter).unwrap().count, count, "{filter:?}");
    }
    let stats = history.stats(&all).unwrap();
    assert_eq!(stats.outcomes, [(Outcome::Replied, 90), (Outcome::Failed, 10)]);
    assert!((stats.error_rate() - 0.1).abs() < 1e-9);
    assert_eq!(stats.span, Some((rows[0].started, rows[99].started)));
    assert_eq!(stats.run.map(|run| (run.p50, run.p90, run.max)), Some((50_000, 90_000, 100_000)));
    assert_eq!(stats.wait.map(|wait| (wait.min, wait.max)), Some((2, 100)));
}

#[test]
fn several_processes_write_into_one_file() {
    // In memory: where a disk takes seconds for a write, whoever waits for it says so.
    let state = tempfile::tempdir_in("/dev/shm").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(write(state.path(), (0..500).map(row)), Vec::<String>::new()));
        }
    });
    assert_eq!(count(state.path()), 2000);
}

#[test]
fn a_file_that_another_process_is_just_making_is_waited_for() {
    let state = tempfile::tempdir().unwrap();
    let other = Connection::open(state.path().join("history.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let place = state.path().to_owned();
    let writer = std::thread::spawn(move || write(&place, [row(1)]));
    // Time for it to come to the lock; it need not.
    std::thread::sleep(Duration::from_millis(300));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writer.join().unwrap(), Vec::<String>::new());
    assert_eq!(count(state.path()), 1);
}

#[test]
fn old_rows_go() {
    let state = tempfile::tempdir().unwrap();
    let old = Row { started: moment::now() - KEEP.as_micros() as i64 - 1, ..row(1) };
    write(state.path(), [old, row(2)]);
    assert_eq!(count(state.path()), 1);
}

#[test]
fn a_damaged_file_is_moved_aside_and_said_and_the_rows_are_kept() {
    for damage in ["no database at all, but some text that is long enough to be taken for a header of one ...............".as_bytes(), b""] {
        let state = tempfile::tempdir().unwrap();
        write(state.path(), [row(1)]);
        let file = state.path().join("history.db");
        if damage.is_empty() {
            let db = Connection::open(&file).unwrap();
            db.execute_batch("DROP VIEW history; DROP TABLE work").unwrap();
        } else {
            fs::write(&file, damage).unwrap();
        }
        let said = write(state.path(), [row(2)]);
        assert!(said.iter().any(|line| line.contains("the history is damaged: moved aside to history.db.damaged-")), "{said:?}");
        assert_eq!(count(state.path()), 1, "the row is in the new file");
        assert_eq!(write(state.path(), [row(3)]), Vec::<String>::new());
    }
}

#[test]
fn a_damaged_file_that_several_find_is_moved_aside_once() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("history.db");
    fs::write(&file, "no database, but long enough to be taken for one by its header alone ".repeat(9))
        .unwrap();
    let keep = KEEP.as_micros() as i64;
    let desk = |n| {
        let mut desk = Desk::new(file.clone(), keep, Box::new(|_| ()));
        desk.batch.push(row(n));
        let trouble = desk.try_write().unwrap_err();
        (desk, trouble)
    };
    let mut both = [desk(1), desk(2)];
    for (desk, trouble) in &mut both {
        assert!(desk.failed(trouble), "it is tried again");
        desk.try_write().unwrap();
    }
    assert_eq!(count(state.path()), 2, "both rows are in the new file");
}

#[test]
fn a_folder_in_its_place_is_moved_aside_and_said() {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir_all(state.path().join("history.db/kept")).unwrap();
    let said = write(state.path(), [row(1)]);
    let aside = "the history is damaged: moved aside to history.db.damaged-";
    let aside = said.iter().find_map(|line| line.split_once(aside)).unwrap().1.split(',').next().unwrap();
    assert!(state.path().join(format!("history.db.damaged-{aside}/kept")).is_dir(), "{said:?}");
    assert_eq!(count(state.path()), 1);
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let state = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(state.path(), KEEP, Box::new(|_| ())).unwrap();
    let file = state.path().join("history.db");
    writer.write(row(1));
    let there = |n| {
        (0..12_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            file.exists()
                && History::open(state.path())
                    .is_ok_and(|h| h.is_some_and(|h| h.stats(&Filter::default()).is_ok_and(|s| s.count == n)))
        })
    };
    assert!(there(1));
    fs::rename(&file, state.path().join("history.old")).unwrap();
    writer.write(row(2));
    writer.write(row(3));
    assert!(there(2));
}

#[test]
fn a_locked_file_is_waited_for_and_said() {
    let state = tempfile::tempdir().unwrap();
    write(state.path(), [row(1)]);
    let other = Connection::open(state.path().join("history.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = write(state.path(), [row(2)]);
    assert!(said[0].starts_with("cannot write the history: database is locked"), "{said:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(count(state.path()), 1);
}

#[test]
fn rows_that_may_be_there_are_written_only_where_they_are_not() {
    let state = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (1..=4).map(row).collect();
    write(state.path(), rows[..2].to_vec());
    fill(state.path(), &rows).unwrap();
    assert_eq!(count(state.path()), 4);
}
