//! Stories with real folders.

use super::*;
use crate::locks::wait_until_somebody_waits_for;

fn about(when: Micros) -> About {
    About {
        when,
        reason: "ValueError: boom".into(),
        sid: "0!s!w".into(),
        wfid: "w".into(),
        ..About::default()
    }
}

fn keep(store: &mut FailedStore, when: Micros, body: &[u8]) -> io::Result<Kept> {
    let (about, name, traceback) = (&about(when), "0!s!w", "Traceback\n  x");
    store.keep(&Failure { about, name, body, traceback, log: "begun\n" })
}

#[test]
fn an_entry_holds_the_message_and_all_there_is_to_know() {
    let state = tempfile::tempdir().unwrap();
    let mut store = FailedStore::new(state.path(), 10, 1 << 20);
    assert_eq!(FailedStore::list(state.path()).unwrap(), []);
    let kept = keep(&mut store, 1_000_000, b"\xff{}").unwrap();
    assert_eq!(kept.removed, 0);
    assert_eq!(
        fs::read_to_string(kept.place.join("reason.txt")).unwrap(),
        "ValueError: boom\nTraceback\n  x"
    );
    let entries = FailedStore::list(state.path()).unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.name.as_str(), &entry.about), ("19700101-000001.000000-0!s!w", &about(1_000_000)));
    assert_eq!(entry.workitem().unwrap(), b"\xff{}");
    assert_eq!(entry.traceback().unwrap(), "Traceback\n  x");
    assert_eq!(entry.log().unwrap(), "begun\n");
}

#[test]
fn the_oldest_goes_when_there_are_too_many_or_too_much() {
    for (max, size, kept) in [(2, 1 << 20, 2), (100, 1500, 1)] {
        let state = tempfile::tempdir().unwrap();
        let mut store = FailedStore::new(state.path(), max, size);
        let removed: usize = (1..=3).map(|when| keep(&mut store, when, &[b'x'; 600]).unwrap().removed).sum();
        let entries = FailedStore::list(state.path()).unwrap();
        assert_eq!((entries.len(), removed), (kept, 3 - kept));
        assert_eq!(entries.last().unwrap().about.when, 3);
    }
}

#[test]
fn entries_of_other_processes_count_too() {
    let state = tempfile::tempdir().unwrap();
    let mut ours = FailedStore::new(state.path(), 10, 1 << 30);
    keep(&mut ours, 1, b"").unwrap();
    let mut theirs = FailedStore::new(state.path(), 1000, 1 << 30);
    (2..100).for_each(|when| drop(keep(&mut theirs, when, b"").unwrap()));
    (100..200).for_each(|when| drop(keep(&mut ours, when, b"").unwrap()));
    assert_eq!(FailedStore::list(state.path()).unwrap().len(), 10);
}

#[test]
fn it_is_found_by_name_sid_or_wfid_retried_and_dropped() {
    let state = tempfile::tempdir().unwrap();
    let mut store = FailedStore::new(state.path(), 10, 1 << 20);
    keep(&mut store, 1, b"").unwrap();
    keep(&mut store, 2, b"").unwrap();
    for (text, found) in [("w", 2), ("0!s!w", 2), ("19700101-000000.000002-0!s!w", 1), ("x", 0), ("", 0)] {
        assert_eq!(FailedStore::find(state.path(), text).unwrap().len(), found, "{text}");
    }
    let entry = FailedStore::find(state.path(), "w").unwrap().remove(0);
    assert_eq!(entry.retries(), []);
    entry.mark_retried("ann\n", moment::now()).unwrap();
    entry.mark_retried("bob", moment::now()).unwrap();
    assert_eq!(entry.retries().iter().map(|r| r.by.as_str()).collect::<Vec<_>>(), ["ann?", "bob"]);
    entry.drop().unwrap();
    assert_eq!(FailedStore::list(state.path()).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_kept_is_reported_and_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("failed"), "a file in the way").unwrap();
    assert!(keep(&mut FailedStore::new(state.path(), 1, 1), 1, b"").is_err());
}

#[test]
fn an_entry_without_about_is_shown_with_what_is_known() {
    let state = tempfile::tempdir().unwrap();
    let mut store = FailedStore::new(state.path(), 10, 1 << 20);
    let kept = keep(&mut store, 7, b"").unwrap();
    fs::write(kept.place.join("about.json"), "{").unwrap();
    fs::create_dir(state.path().join("failed/.new-19700101-000000.000002-x")).unwrap();
    let entries = FailedStore::list(state.path()).unwrap();
    assert_eq!(entries.len(), 1, "one that is not complete is not seen");
    assert_eq!((entries[0].about.when, entries[0].about.reason.as_str()), (7, "ValueError: boom"));
}

#[test]
fn what_a_process_that_was_killed_left_half_is_removed_when_nobody_makes_another() {
    let state = tempfile::tempdir().unwrap();
    let half = state.path().join("failed/.new-19700101-000000.000001-0!s!w");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join(entry::WORKITEM), "{").unwrap();
    let folder = File::open(state.path().join("failed")).unwrap();
    folder.lock_shared().unwrap();
    keep(&mut FailedStore::new(state.path(), 10, 1 << 20), 1_000_000, b"{}").unwrap();
    assert!(half.exists(), "another process may be at it");
    folder.unlock().unwrap();
    keep(&mut FailedStore::new(state.path(), 10, 1 << 20), 2_000_000, b"{}").unwrap();
    assert!(!half.exists());
    assert_eq!(FailedStore::list(state.path()).unwrap().len(), 2);
}

#[test]
fn none_is_begun_while_another_process_throws_away_what_is_half() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("failed");
    fs::create_dir(&dir).unwrap();
    let folder = File::open(&dir).unwrap();
    folder.lock().unwrap();
    let place = state.path().to_owned();
    let keeps =
        std::thread::spawn(move || keep(&mut FailedStore::new(&place, 10, 1 << 20), 1, b"").map(drop));
    wait_until_somebody_waits_for(&dir, || keeps.is_finished());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    drop(folder);
    keeps.join().unwrap().unwrap();
    assert_eq!(FailedStore::list(state.path()).unwrap().len(), 1);
}
