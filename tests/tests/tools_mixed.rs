//! Where the small programs of both sides meet: chains of ours and theirs, locks, labels.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::{Programs, Sandbox};
use tools::{is_root, transcripts};

/// Their programs have paths in these variables, ours are in PATH: `$T/envdir`.
fn both() -> Sandbox {
    let sandbox = Sandbox::with(Programs::ours());
    sandbox.set("T", Programs::theirs().bin().display());
    sandbox.set("TZ", "UTC");
    sandbox
}

#[test]
fn wrappers_of_both_sides_chain() {
    let sandbox = both();
    sandbox.write("env/GREETING", "hello\n");
    let child = "sh -c 'echo $GREETING $UID $(ulimit -n)'";
    for chain in [
        "envdir env $T/envuidgid daemon softlimit -o 40 $T/setlock lock pgrphack $T/fghack",
        "$T/envdir env envuidgid daemon $T/softlimit -o 40 setlock lock $T/pgrphack fghack",
    ] {
        transcripts(&sandbox, &[(&format!("{chain} {child}"), 0, "hello 1 40\n", "")]);
    }
    if is_root() {
        for chain in ["envdir env $T/setuidgid daemon", "$T/envdir env setuidgid daemon"] {
            transcripts(
                &sandbox,
                &[(&format!("{chain} sh -c 'echo $GREETING; id -u'"), 0, "hello\n1\n", "")],
            );
        }
    }
}

#[test]
fn a_lock_of_one_side_holds_against_the_other() {
    let sandbox = both();
    let said = "setlock: fatal: unable to lock lock: temporary failure\n";
    for (holder, other) in [("setlock", "$T/setlock"), ("$T/setlock", "setlock")] {
        transcripts(
            &sandbox,
            &[
                (&format!("{holder} lock {other} -n lock true"), 111, "", said),
                (&format!("{holder} lock {other} -nx lock echo ran"), 0, "", ""),
                (&format!("{holder} lock sh -c 'exec 3>&-; exec {other} -n lock echo ran'"), 0, "ran\n", ""),
            ],
        );
    }
    // A supervise's lock is of the same kind.
    tests::service::Service::sleeper(&sandbox, "s").supervise();
    let said = "setlock: fatal: unable to lock s/supervise/lock: temporary failure\n";
    for setlock in ["setlock", "$T/setlock"] {
        transcripts(&sandbox, &[(&format!("{setlock} -n s/supervise/lock true"), 111, "", said)]);
    }
}

#[test]
fn labels_of_both_sides_are_times_for_both() {
    let sandbox = both();
    let time = "sed -n '/^20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9][.][0-9]\\{9\\} line$/s/.* //p'";
    for label in ["tai64n", "$T/tai64n"] {
        for local in ["tai64nlocal", "$T/tai64nlocal"] {
            let line = format!("echo line | {label} | {local} | {time}");
            transcripts(&sandbox, &[(&line, 0, "line\n", "")]);
        }
    }
    for multilog in ["multilog", "$T/multilog"] {
        for local in ["tai64nlocal", "$T/tai64nlocal"] {
            let line = format!("rm -rf log; echo line | {multilog} t ./log && {local} <log/current | {time}");
            transcripts(&sandbox, &[(&line, 0, "line\n", "")]);
        }
    }
    // What one makes of a label the other makes, too.
    let same = "tai64n </etc/passwd >labelled && tai64nlocal <labelled >ours && $T/tai64nlocal <labelled | cmp - ours";
    transcripts(&sandbox, &[(same, 0, "", "")]);
}

#[test]
fn labels_of_both_sides_are_in_the_order_of_time() {
    let sandbox = both();
    let line =
        "for i in 1 2 3 4 5 6; do echo a | tai64n; echo b | $T/tai64n; done | sort -c && echo in order";
    transcripts(&sandbox, &[(line, 0, "in order\n", "")]);
}
