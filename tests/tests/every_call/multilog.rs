//! multilog: numbered lines, several logs full of them; what comes after it is fed with the rest.

use super::{Doomed, End, Fate};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use tests::Sandbox;
use tests::chaos::{line, number_of};

/// So many lines, in writes of so many, so that there are several reads.
const LINES: u64 = 600;
const WRITE: u64 = 40;
/// One read brings no more than a pipe holds.
const READ: usize = 65536;
const KEPT: usize = 30;

/// Logs of 4096 bytes.
pub fn plain(fate: Fate) -> End {
    play(fate, &["s4096", "n30", "./main"])
}

/// A processor, which doubles what it gets nowhere and loses nothing.
pub fn processed(fate: Fate) -> End {
    play(fate, &["s8192", "n30", "!cat", "./main"])
}

fn play(fate: Fate, script: &[&str]) -> End {
    let sandbox = Sandbox::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // Who reads later reads the same pipe, as svscan sees to it.
    let mut first = Doomed::spawn(&sandbox, fate, "multilog", script, reader.try_clone().unwrap());
    let feeder = std::thread::spawn(move || {
        for from in (1..=LINES).step_by(WRITE as usize) {
            let text: String = (from..from + WRITE).map(line).collect();
            writer.write_all(text.as_bytes()).unwrap();
        }
    });
    sandbox.wait_until("it has ended", || !first.process.runs());
    let end = first.end();
    let done = fs::read_dir(sandbox.path("main")).map_or(vec![], |_| found(&sandbox));
    if matches!(end, End::Killed(_)) {
        // A processor that does not run yet holds the lock a little longer: supervise would start multilog once more.
        // Unlocked by a word: a child that another scenario just forks has the descriptor as well, and closing is not enough.
        let try_it = |lock: fs::File| lock.try_lock_shared().is_ok() && lock.unlock().is_ok();
        let free = || fs::File::open(sandbox.path("main/lock")).is_ok_and(try_it);
        sandbox.wait_until("nobody holds the lock", || !sandbox.has("main/lock") || free());
        let mut command = sandbox.command("multilog", script);
        command.stdin(reader);
        let mut second = sandbox.spawn(command);
        feeder.join().unwrap();
        assert_eq!(second.finish().told(), (0, "", ""));
    } else {
        drop(reader);
        feeder.join().unwrap();
    }
    let err = first.process.err();
    assert_eq!(err, "", "{end:?}");
    judge(&sandbox, &done, &end);
    end
}

/// The numbers of the lines that are in the logs, in their order; what a line was cut into is 0.
fn found(sandbox: &Sandbox) -> Vec<u64> {
    let main = sandbox.path("main");
    let mut names: Vec<String> = fs::read_dir(&main)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('@') || ["previous", "current"].contains(&name.as_str()))
        .collect();
    // `current` and `previous` come after all labels; `previous` is older than `current`.
    let age = |name: &String| (name == "current", name == "previous", name.clone());
    names.sort_by_key(age);
    // A log that was processed and kept may be there once more, not yet removed.
    let kept = |name: &String| name == "previous" && sandbox.has("main/processed");
    let texts = names.iter().filter(|name| !kept(name)).map(|name| sandbox.read(main.join(name)));
    let text: String = texts.collect();
    text.lines().map(|line| number_of(line).unwrap_or(0)).collect()
}

/// "tests allow exactly that gap": one read. What was there before is there, in its order, once.
fn judge(sandbox: &Sandbox, before: &[u64], end: &End) {
    let now = found(sandbox);
    let whole: Vec<u64> = now.iter().copied().filter(|number| *number != 0).collect();
    assert!(whole.is_sorted_by(|a, b| a < b), "{end:?}: out of order, or twice: {whole:?}");
    let there: BTreeSet<u64> = whole.iter().copied().collect();
    let gone: Vec<_> = before.iter().filter(|number| **number != 0 && !there.contains(number)).collect();
    assert!(gone.is_empty(), "{end:?}: {gone:?} had been written");
    let missing: Vec<u64> = (1..=LINES).filter(|number| !there.contains(number)).collect();
    let bytes: usize = missing.iter().map(|number| line(*number).len()).sum();
    assert!(bytes <= READ + 2 * 1450, "{end:?}: {bytes} bytes are missing: {missing:?}");
    let one = missing.iter().zip(missing.iter().skip(1)).all(|(a, b)| a + 1 == *b);
    assert!(one, "{end:?}: more than one gap: {missing:?}");
    if matches!(end, End::Through(_)) {
        assert_eq!(missing, [] as [u64; 0]);
    }
    let mut old = 0;
    for entry in fs::read_dir(sandbox.path("main")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        match name.strip_prefix('@') {
            Some(rest) => {
                let (label, kind) = rest.split_once('.').unwrap();
                assert!(label.len() == 24 && ["s", "u"].contains(&kind), "{end:?}: {name}");
                old += 1;
            }
            None => assert!(["lock", "state", "current"].contains(&name.as_str()), "{end:?}: {name}"),
        }
    }
    assert!(old < KEPT, "{end:?}: {old} old logs");
}
