//! fghack and pgrphack: children in the foreground, and in a session of their own.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::{Programs, Sandbox, on_both};
use tools::{shell, transcripts};

on_both! {
    usage_is_told_as_daemontools_tells_it,
    fghack_ends_as_its_child_does,
    fghack_stays_until_what_is_in_the_background_has_ended,
    fghack_gives_thirty_descriptors_more_and_throws_away_what_they_get,
    pgrphack_makes_its_child_the_leader_of_a_session,
}

fn usage_is_told_as_daemontools_tells_it(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let unable =
        |name: &str, child: &str| format!("{name}: fatal: unable to run {child}: file does not exist\n");
    for name in ["fghack", "pgrphack"] {
        transcripts(
            &sandbox,
            &[
                (name, 100, "", &format!("{name}: usage: {name} child\n")),
                (&format!("{name} nowhere"), 111, "", &unable(name, "nowhere")),
                (&format!("{name} -x"), 111, "", &unable(name, "-x")),
                (&format!("{name} -- true"), 111, "", &unable(name, "--")),
                (&format!("{name} sh -c 'echo $0 $1; echo err >&2; exit 7' a 'b c'"), 7, "a b c\n", "err\n"),
            ],
        );
    }
}

/// "fghack … `child crashed` 111".
fn fghack_ends_as_its_child_does(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let crashed = "fghack: fatal: child crashed\n";
    transcripts(
        &sandbox,
        &[
            ("fghack true", 0, "", ""),
            ("fghack sh -c 'exit 255'", 255, "", ""),
            ("fghack sh -c 'kill -9 $$'", 111, "", crashed),
            ("fghack sh -c 'kill -TERM $$'", 111, "", crashed),
            ("fghack cat </dev/null", 0, "", ""),
            ("echo through | fghack cat", 0, "through\n", ""),
        ],
    );
}

/// "After child has exited and the pipe has been closed, fghack exits."
fn fghack_stays_until_what_is_in_the_background_has_ended(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // Closing the usual suspects does not help.
    let daemon = "(exec >daemon.out 2>&1 3>&- 4>&-; trap 'exit 0' TERM; echo $$ >/dev/null; while :; do sleep 0.1; done) & echo $! >pid; exit 5";
    let mut fghack = sandbox.start("fghack", &["sh", "-c", daemon]);
    sandbox.wait_until("the child has ended", || {
        let children = format!("/proc/{0}/task/{0}/children", fghack.pid());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let zombie = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") Z ")
        };
        children.split_whitespace().next().is_some_and(zombie)
    });
    assert!(fghack.runs(), "the daemon still has the pipe");
    sandbox.run("kill", &[sandbox.read("pid").trim()]).good();
    assert_eq!(fghack.finish().told(), (5, "", ""));
}

/// "fghack gives 30 more descriptors".
fn fghack_gives_thirty_descriptors_more_and_throws_away_what_they_get(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // The pipe's own and 30 copies: 3 to 33.
    let pipes = "sh -c 'for fd in /proc/$$/fd/*; do readlink $fd; done' | grep -c ^pipe:";
    let before = shell(&sandbox, &format!("{pipes} || :")).good();
    let after = shell(&sandbox, &format!("fghack {pipes}")).good();
    let number = |text: &str| text.trim().parse::<usize>().unwrap();
    assert_eq!(number(&after) - number(&before), 31);
    transcripts(
        &sandbox,
        &[
            ("fghack sh -c 'test -e /proc/$$/fd/33 && ! test -e /proc/$$/fd/34'", 0, "", ""),
            ("fghack sh -c 'echo away >&3; echo away >&9; echo kept'", 0, "kept\n", ""),
            ("fghack sh -c 'head -c 1000000 /dev/zero >&6; exit 3'", 3, "", ""),
        ],
    );
}

fn pgrphack_makes_its_child_the_leader_of_a_session(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // pid, group and session are fields 1, 5 and 6 of /proc/PID/stat.
    let leads = "sh -c 'set -- $(cat /proc/$$/stat); test $1 = $5 && test $1 = $6'";
    transcripts(
        &sandbox,
        &[
            (&format!("pgrphack {leads}"), 0, "", ""),
            // Who leads a group cannot leave it, and nothing is said.
            (&format!("setsid -w pgrphack {leads}"), 0, "", ""),
            (&format!("pgrphack pgrphack {leads}"), 0, "", ""),
        ],
    );
    let alone = shell(&sandbox, leads);
    assert_eq!(alone.code, Some(1), "without pgrphack a child leads nothing");
}

/// Ours alone: 0.76 leaves its child not a single descriptor then.
#[test]
fn ours_shares_what_descriptors_there_are_with_its_child() {
    let sandbox = Sandbox::new();
    let line = "ulimit -n 16; fghack sh -c 'echo away >&5; cat </dev/null; exit 7'";
    transcripts(&sandbox, &[(line, 7, "", "")]);
}
