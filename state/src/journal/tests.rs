//! Stories with real files. A journal that is dropped without `close` is what a kill -9 leaves.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

fn taken(n: u8, body: &[u8]) -> Taken<'_> {
    let (time, digest) = (moment::now(), [n; 32]);
    Taken { time, digest, running: true, suspect: false, attempts: vec![], sid: "0!s!w", body }
}

fn files(state: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(state.join("journal"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

fn found(journal: &mut Journal, n: u8) -> Option<(u32, bool, Option<Vec<u8>>)> {
    let found = journal.find(&[n; 32]).unwrap()?;
    Some((found.crashes(), found.suspect, found.reply))
}

#[test]
fn a_reply_that_was_computed_before_a_kill_is_found_by_the_next_process() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), true);
    first.taken(&taken(1, b"one")).unwrap();
    first.reply(moment::now(), [1; 32], Outcome::Replied, b"reply").unwrap();
    first.taken(&taken(2, b"two")).unwrap();
    drop(first);
    let mut second = Journal::new(state.path(), false);
    assert_eq!(found(&mut second, 1), Some((0, false, Some(b"reply".to_vec()))));
    assert_eq!(found(&mut second, 2), Some((1, false, None)));
    assert_eq!(found(&mut second, 3), None);
}

#[test]
fn attempts_are_counted_over_processes_until_it_is_answered() {
    let state = tempfile::tempdir().unwrap();
    for crashes in 0..4 {
        let mut journal = Journal::new(state.path(), false);
        let known = journal.find(&[1; 32]).unwrap();
        let attempts = known.map_or(vec![], |found| found.attempts);
        assert_eq!(attempts.len(), crashes);
        journal.taken(&Taken { attempts, ..taken(1, b"x") }).unwrap();
    }
    let mut last = Journal::new(state.path(), false);
    let attempts = last.find(&[1; 32]).unwrap().unwrap().attempts;
    assert!(attempts.iter().all(|attempt| attempt.alone && attempt.pid == std::process::id()));
    last.taken(&Taken { attempts, ..taken(1, b"x") }).unwrap();
    last.reply(moment::now(), [1; 32], Outcome::Failed, b"sorry").unwrap();
    last.acked([1; 32]).unwrap();
    drop(last);
    let mut after = Journal::new(state.path(), false);
    after.ready().unwrap();
    assert!(after.live.is_empty(), "nothing is carried on");
}

#[test]
fn two_in_hand_at_a_kill_are_suspect_and_count_only_when_alone() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    first.taken(&taken(1, b"")).unwrap();
    first.taken(&taken(2, b"")).unwrap();
    drop(first);
    let mut second = Journal::new(state.path(), false);
    assert_eq!(found(&mut second, 1), Some((0, true, None)));
    let known = second.find(&[2; 32]).unwrap().unwrap();
    assert!(known.suspect);
    second.taken(&Taken { attempts: known.attempts, suspect: true, ..taken(2, b"") }).unwrap();
    drop(second);
    let mut third = Journal::new(state.path(), false);
    assert_eq!(found(&mut third, 2), Some((1, false, None)));
    assert_eq!(found(&mut third, 1), Some((0, true, None)), "the other is still to run alone");
}

#[test]
fn an_end_that_was_announced_is_no_attempt() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    first.taken(&taken(1, b"")).unwrap();
    first.stopping().unwrap();
    first.close();
    assert_eq!(files(state.path()).len(), 1, "what is in hand keeps the file");
    let mut second = Journal::new(state.path(), false);
    assert_eq!(found(&mut second, 1), Some((0, false, None)));
}

/// A quorum queue counts these ends too: they are told apart from crashes.
#[test]
fn ends_that_were_announced_are_counted_until_it_is_answered() {
    let state = tempfile::tempdir().unwrap();
    for ends in 0..4 {
        let mut journal = Journal::new(state.path(), false);
        let known = journal.find(&[1; 32]).unwrap().unwrap_or_default();
        assert_eq!((known.given_back, known.crashes()), (ends, 0));
        journal.taken(&taken(1, b"x")).unwrap();
        journal.stopping().unwrap();
        journal.close();
    }
    let mut crashed = Journal::new(state.path(), false);
    crashed.taken(&taken(1, b"x")).unwrap();
    drop(crashed);
    let mut last = Journal::new(state.path(), false);
    let known = last.find(&[1; 32]).unwrap().unwrap_or_default();
    assert_eq!((known.given_back, known.crashes()), (4, 1));
    last.taken(&taken(1, b"x")).unwrap();
    last.reply(moment::now(), [1; 32], Outcome::Replied, b"").unwrap();
    last.acked([1; 32]).unwrap();
    last.close();
    assert_eq!(files(state.path()), Vec::<PathBuf>::new());
}

/// What waits behind a workitem that ends its process, or comes while that stops, is counted by a quorum queue too.
#[test]
fn what_was_delivered_and_not_begun_is_known_to_the_next_processes_until_it_is_answered() {
    let state = tempfile::tempdir().unwrap();
    let given_back = |journal: &mut Journal| {
        let found = journal.find(&[2; 32]).unwrap().unwrap_or_default();
        assert_eq!(found.crashes(), 0);
        found.given_back
    };
    for before in 0..3 {
        let mut journal = Journal::new(state.path(), false);
        assert_eq!(given_back(&mut journal), before);
        journal.taken(&taken(1, b"one")).unwrap();
        journal.passed([2; 32]).unwrap();
        if before == 1 {
            journal.stopping().unwrap();
            journal.reply(moment::now(), [1; 32], Outcome::Replied, b"").unwrap();
            journal.acked([1; 32]).unwrap();
            journal.close();
        } else {
            drop(journal);
        }
    }
    let mut begun = Journal::new(state.path(), false);
    assert_eq!(given_back(&mut begun), 3);
    // It is lost to the broker, comes again while it waits, and is begun: of three deliveries two came to nothing.
    (0..3).for_each(|_| begun.passed([2; 32]).unwrap());
    begun.taken(&taken(2, b"two")).unwrap();
    assert_eq!(given_back(&mut begun), 3, "what this process has given back it knows itself");
    drop(begun);
    let mut last = Journal::new(state.path(), false);
    let found = last.find(&[2; 32]).unwrap().unwrap();
    assert_eq!((found.given_back, found.crashes()), (5, 1));
    last.taken(&taken(2, b"two")).unwrap();
    last.reply(moment::now(), [2; 32], Outcome::Replied, b"").unwrap();
    last.acked([2; 32]).unwrap();
    last.taken(&taken(1, b"one")).unwrap();
    last.reply(moment::now(), [1; 32], Outcome::Replied, b"").unwrap();
    last.acked([1; 32]).unwrap();
    last.close();
    assert_eq!(files(state.path()), Vec::<PathBuf>::new());
}

/// On a full disk the file goes first: who else writes there may take the room that the next one needs.
#[test]
fn what_was_not_begun_is_known_where_a_new_file_could_be_made_only_later() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    first.passed([1; 32]).unwrap();
    first.passed([2; 32]).unwrap();
    let in_the_way = first.dir.join(format!("{}.{:06}", first.name, first.number));
    fs::write(&in_the_way, "x").unwrap();
    assert!(first.start_over().is_err());
    fs::remove_file(in_the_way).unwrap();
    first.acked([2; 32]).unwrap();
    drop(first);
    let mut second = Journal::new(state.path(), false);
    let given_back = |n| second.find(&[n; 32]).unwrap().map(|found| found.given_back);
    assert_eq!([1, 2].map(given_back), [Some(1), None]);
}

/// "An end by TERM never counts", also of what goes on in a next file while it runs.
#[test]
fn each_file_of_a_process_that_stops_says_so() {
    for stops_first in [true, false] {
        let state = tempfile::tempdir().unwrap();
        let mut first = Journal::new(state.path(), false);
        first.taken(&taken(1, b"x")).unwrap();
        if stops_first {
            first.stopping().unwrap();
        }
        first.taken(&taken(2, &vec![b'x'; SEGMENT as usize])).unwrap();
        first.reply(moment::now(), [2; 32], Outcome::Replied, b"").unwrap();
        first.acked([2; 32]).unwrap();
        if !stops_first {
            first.stopping().unwrap();
        }
        assert_eq!(files(state.path()).len(), 2);
        drop(first);
        // Only what is live is certain to stay.
        fs::remove_file(&files(state.path())[0]).unwrap();
        let mut second = Journal::new(state.path(), false);
        let found = second.find(&[1; 32]).unwrap().unwrap_or_default();
        assert_eq!((found.crashes(), found.given_back), (0, 1), "{stops_first}");
    }
}

#[test]
fn a_file_is_dropped_when_nothing_in_it_is_live() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    first.taken(&taken(1, b"")).unwrap();
    drop(first);
    let mut second = Journal::new(state.path(), false);
    second.taken(&taken(1, b"")).unwrap();
    second.reply(moment::now(), [1; 32], Outcome::Forgotten, b"").unwrap();
    second.acked([1; 32]).unwrap();
    assert_eq!(files(state.path()).len(), 2);
    second.close();
    assert_eq!(files(state.path()), Vec::<PathBuf>::new());
}

/// What the history of a process that was killed may lack.
#[test]
fn what_was_handled_before_a_kill_is_told_once() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(Journal::new(state.path(), false).take_handled().unwrap(), []);
    assert!(!state.path().join("journal").exists());
    let mut first = Journal::new(state.path(), false);
    let item = |n: u8, body| Taken { time: n.into(), ..taken(n, body) };
    first.taken(&item(1, b"one")).unwrap();
    first.reply(11, [1; 32], Outcome::Timeout, b"sorry").unwrap();
    first.acked([1; 32]).unwrap();
    first.rotate().unwrap();
    first.taken(&item(2, b"two")).unwrap();
    first.reply(12, [2; 32], Outcome::Forgotten, b"").unwrap();
    first.taken(&item(3, b"three")).unwrap();
    drop(first);
    let mut second = Journal::new(state.path(), false);
    let told = second.take_handled().unwrap();
    let told: Vec<_> =
        told.iter().map(|h| (h.started, h.ended, h.outcome, &h.body[..], &h.reply[..])).collect();
    let expected: [(_, _, _, &[u8], &[u8]); 2] =
        [(1, 11, Outcome::Timeout, b"one", b"sorry"), (2, 12, Outcome::Forgotten, b"two", b"")];
    assert_eq!(told, expected);
    assert_eq!(second.take_handled().unwrap(), []);
    drop(second);
    assert_eq!(Journal::new(state.path(), false).take_handled().unwrap(), []);
}

#[test]
fn the_file_of_a_process_that_lives_is_read_and_not_taken_over() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    let mut second = Journal::new(state.path(), false);
    first.taken(&taken(1, b"")).unwrap();
    first.reply(moment::now(), [1; 32], Outcome::Replied, b"r").unwrap();
    assert_eq!(found(&mut second, 1), Some((0, false, Some(b"r".to_vec()))));
    assert!(second.live.is_empty());
    first.taken(&taken(2, b"")).unwrap();
    first.reply(moment::now(), [2; 32], Outcome::Replied, b"s").unwrap();
    assert_eq!(found(&mut second, 2), Some((0, false, Some(b"s".to_vec()))), "what came later is seen too");
}

#[test]
fn a_file_that_is_just_being_made_is_taken_over_by_nobody_and_made_again() {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join("journal")).unwrap();
    // Made, and neither locked nor written yet: by one that was killed there, or by one that goes on.
    let path = state.path().join("journal").join("20010909T014640.000000-1.0");
    let made = File::options().write(true).create_new(true).open(&path).unwrap();
    let mut late = Journal::new(state.path(), false);
    late.ready().unwrap();
    made.try_lock().unwrap();
    assert_eq!(made.metadata().unwrap().nlink(), 0, "whoever made it sees that it is gone");
    late.close();
    assert_eq!(files(state.path()), Vec::<PathBuf>::new(), "nothing live, no file");
}

#[test]
fn instances_that_start_at_the_same_moment_each_have_a_file_of_their_own() {
    let state = tempfile::tempdir().unwrap();
    let (folder, own) = (state.path().join("journal"), Process::own());
    fs::create_dir(&folder).unwrap();
    std::thread::scope(|scope| {
        for instance in 0..4 {
            let (folder, own) = (&folder, &own);
            scope.spawn(move || {
                for number in 0..500 {
                    let path = folder.join(format!("20010909T014640.000000-{instance}.{number}"));
                    let segment = Segment::create(path.clone(), own, false).unwrap();
                    let orphans = Orphans::read(folder).unwrap().files;
                    assert!(orphans.is_empty(), "all live: {orphans:?}");
                    assert!(
                        segment::scan(&File::open(&path).unwrap(), 0, |_, _| {}).unwrap() > 0,
                        "whole, and there"
                    );
                    fs::remove_file(segment.path()).unwrap();
                }
            });
        }
    });
}

#[test]
fn it_goes_on_in_a_next_file_with_what_is_live_and_keeps_a_bounded_archive() {
    let state = tempfile::tempdir().unwrap();
    let mut journal = Journal::new(state.path(), false);
    let body = vec![b'x'; 300 << 10];
    journal.taken(&Taken { digest: [1; 32], ..taken(0, b"running") }).unwrap();
    journal.taken(&Taken { digest: [2; 32], ..taken(0, b"answered") }).unwrap();
    journal.reply(moment::now(), [2; 32], Outcome::Replied, b"reply").unwrap();
    for n in 3..=200 {
        journal.taken(&taken(n, &body)).unwrap();
        journal.acked([n; 32]).unwrap();
    }
    let size: u64 = files(state.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(journal.number > 10 && size < ARCHIVE + 2 * SEGMENT, "{} files, {size} bytes", journal.number);
    drop(journal);
    let mut next = Journal::new(state.path(), false);
    assert_eq!(found(&mut next, 1), Some((1, false, None)));
    assert_eq!(found(&mut next, 2), Some((0, false, Some(b"reply".to_vec()))));
}

#[test]
fn a_reply_that_the_broker_wants_again_after_its_acknowledgement_is_found_in_the_archive() {
    let state = tempfile::tempdir().unwrap();
    let mut journal = Journal::new(state.path(), false);
    let body = vec![b'x'; 300 << 10];
    for n in 1..=30 {
        journal.taken(&taken(n, b"")).unwrap();
        journal.reply(moment::now(), [n; 32], Outcome::Replied, &body).unwrap();
        journal.acked([n; 32]).unwrap();
    }
    assert_eq!(found(&mut journal, 1), Some((0, false, Some(body))));
}

#[test]
fn where_it_cannot_be_written_that_is_said_and_works_again_later() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("journal"), "a file in the way").unwrap();
    let mut journal = Journal::new(state.path(), false);
    assert!(journal.taken(&taken(1, b"")).is_err());
    fs::remove_file(state.path().join("journal")).unwrap();
    journal.taken(&taken(1, b"")).unwrap();
}

#[test]
fn a_damaged_file_keeps_nobody_from_working_and_is_good_up_to_the_damage() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Journal::new(state.path(), false);
    first.taken(&taken(1, b"")).unwrap();
    first.taken(&taken(2, b"body")).unwrap();
    drop(first);
    let file = files(state.path()).remove(0);
    let (size, open) = (file.metadata().unwrap().len(), File::options().write(true).open(&file).unwrap());
    open.write_all_at(b"?", size - 2).unwrap();
    fs::write(state.path().join("journal/nonsense"), "not ours").unwrap();
    fs::write(state.path().join("journal/x.000001"), vec![0xff; 100]).unwrap();
    let mut second = Journal::new(state.path(), false);
    assert_eq!(found(&mut second, 1), Some((1, false, None)));
    assert_eq!(found(&mut second, 2), None);
    assert!(state.path().join("journal/nonsense").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a process did, and wherever in its file the last write ended: the next one knows exactly what
    /// the whole records say.
    #[test]
    fn a_process_may_end_in_the_middle_of_any_write(
        steps in proptest::collection::vec((0..3u8, 0..4u8), 1..30), cut in 0.0..1.0f64,
    ) {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(state.path(), false);
        journal.ready().unwrap();
        let file = files(state.path()).remove(0);
        let length = || file.metadata().unwrap().len();
        // Per message: running, reply.
        let mut model: BTreeMap<u8, (bool, Option<Vec<u8>>)> = BTreeMap::new();
        let mut after = vec![(length(), model.clone())];
        for (step, n) in steps {
            match step {
                0 => {
                    journal.taken(&taken(n, b"body")).unwrap();
                    model.insert(n, (true, None));
                }
                1 => {
                    journal.reply(moment::now(), [n; 32], Outcome::Replied, &[n]).unwrap();
                    model.insert(n, (false, Some(vec![n])));
                }
                _ => {
                    journal.acked([n; 32]).unwrap();
                    model.remove(&n);
                }
            }
            after.push((length(), model.clone()));
        }
        drop(journal);
        let begin = after[0].0;
        let cut = begin + ((length() - begin) as f64 * cut) as u64;
        File::options().write(true).open(&file).unwrap().set_len(cut).unwrap();
        let (_, expected) = after.iter().rev().find(|(end, _)| *end <= cut).unwrap();
        let mut next = Journal::new(state.path(), false);
        next.ready().unwrap();
        let running = expected.values().filter(|(running, _)| *running).count();
        for n in 0..4u8 {
            let carried = next.live.contains_key(&[n; 32]);
            prop_assert_eq!(carried, expected.contains_key(&n));
            if let Some((ran, reply)) = expected.get(&n) {
                let crashes = u32::from(*ran && running == 1);
                let suspect = *ran && running > 1;
                prop_assert_eq!(found(&mut next, n), Some((crashes, suspect, reply.clone())));
            }
        }
    }
}
