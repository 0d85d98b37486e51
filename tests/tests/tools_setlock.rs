//! setlock: its four options, and the lock that the child inherits.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use tests::{Programs, Running, Sandbox, on_both};
use tools::{is_root, transcripts};

on_both! {
    usage_is_told_as_daemontools_tells_it,
    the_file_is_made_for_its_owner_and_never_changed,
    what_cannot_be_opened_is_told_or_hidden,
    n_gives_up_and_capital_n_waits,
    of_each_pair_of_options_the_last_holds,
    the_lock_lasts_as_long_as_somebody_has_the_descriptor,
    who_may_not_write_is_told_so,
}

const USAGE: &str = "setlock: usage: setlock [ -nNxX ] file program [ arg ... ]\n";

fn usage_is_told_as_daemontools_tells_it(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for line in ["setlock", "setlock file", "setlock -n", "setlock -nx file", "setlock -- file"] {
        transcripts(&sandbox, &[(line, 100, "", USAGE)]);
    }
    let illegal = format!("setlock: illegal option -- z\n{USAGE}");
    transcripts(
        &sandbox,
        &[
            ("setlock -z file true", 100, "", &illegal),
            ("setlock -nz file true", 100, "", &illegal),
            ("setlock -n -z", 100, "", &illegal),
            ("setlock file sh -c 'exit 7'", 7, "", ""),
            ("setlock -- -file echo a -n", 0, "a -n\n", ""),
            ("setlock - echo dash is a file", 0, "dash is a file\n", ""),
            ("setlock -n -- file echo ran", 0, "ran\n", ""),
            ("setlock --nonsense file echo ran", 0, "ran\n", ""),
            ("setlock -n- file true", 100, "", &format!("setlock: illegal option -- -\n{USAGE}")),
            ("setlock file -n true", 111, "", "setlock: fatal: unable to run -n: file does not exist\n"),
        ],
    );
    assert!(sandbox.has("-") && sandbox.has("-file"));
}

/// Mode 0600 whatever the umask; what is in it stays.
fn the_file_is_made_for_its_owner_and_never_changed(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("kept", "kept\n");
    transcripts(
        &sandbox,
        &[
            ("umask 0; setlock new true; stat -c '%a %s' new", 0, "600 0\n", ""),
            ("setlock kept cat kept", 0, "kept\n", ""),
            ("setlock kept sh -c 'cat <&3'", 1, "", "cat: -: Bad file descriptor\n"),
            ("setlock kept sh -c 'echo more >&3'; cat kept", 0, "kept\nmore\n", ""),
            ("setlock /dev/null echo device", 0, "device\n", ""),
        ],
    );
}

/// "setlock -x also hides a file that cannot be opened".
fn what_cannot_be_opened_is_told_or_hidden(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("folder");
    sandbox.write("file", "");
    sandbox.link("loop", "loop");
    mkfifo(&sandbox.path("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    for (file, word) in [
        ("nowhere/file", "file does not exist"),
        ("file/file", "not a directory"),
        ("folder", "is a directory"),
        ("loop", "symbolic link loop"),
        ("fifo", "device not configured"),
        ("''", "file does not exist"),
    ] {
        let said = format!("setlock: fatal: unable to open {}: {word}\n", file.trim_matches('\''));
        let line = |option: &str| format!("setlock {option} {file} echo ran");
        transcripts(
            &sandbox,
            &[(&line(""), 111, "", &said), (&line("-X"), 111, "", &said), (&line("-x"), 0, "", "")],
        );
    }
}

/// Somebody who holds the lock on `file` until its standard input ends.
fn holder(sandbox: &Sandbox) -> Running {
    let mut holder = sandbox.start_fed("setlock", &["file", "sh", "-c", "echo held; cat"]);
    holder.wait_until_it_says("held");
    holder
}

/// "-n: if another holds it, gives up; -N waits (default)".
fn n_gives_up_and_capital_n_waits(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut held = holder(&sandbox);
    let said = "setlock: fatal: unable to lock file: temporary failure\n";
    transcripts(
        &sandbox,
        &[("setlock -n file echo ran", 111, "", said), ("setlock -nx file echo ran", 0, "", "")],
    );
    for options in [&[][..], &["-N"], &["-x"]] {
        let mut waiting = sandbox.start("setlock", &[options, &["file", "echo", "ran"]].concat());
        sandbox.wait_until("setlock waits for the lock", || {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            locks
                .lines()
                .any(|line| line.contains("-> FLOCK") && line.contains(&format!(" {} ", waiting.pid())))
        });
        assert!(waiting.runs());
        held.finish();
        assert_eq!(waiting.finish().told(), (0, "ran\n", ""), "{options:?}");
        held = holder(&sandbox);
    }
    held.finish();
    transcripts(&sandbox, &[("setlock -n file echo ran", 0, "ran\n", "")]);
}

/// "the last of nN, xX wins".
fn of_each_pair_of_options_the_last_holds(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let _held = holder(&sandbox);
    let told = (111, "setlock: fatal: unable to lock file: temporary failure\n");
    for (options, (code, said)) in [
        ("-nxX", told),
        ("-nXx", (0, "")),
        ("-xnX", told),
        ("-X -n -x", (0, "")),
        ("-N -n", told),
        ("-Nnx", (0, "")),
        ("-x -n -- ", (0, "")),
    ] {
        transcripts(&sandbox, &[(&format!("setlock {options} file echo ran"), code, "", said)]);
    }
    let open = "setlock: fatal: unable to open nowhere/file: file does not exist\n";
    transcripts(
        &sandbox,
        &[("setlock -xX nowhere/file true", 111, "", open), ("setlock -Xx nowhere/file true", 0, "", "")],
    );
}

/// "Normally the lock disappears when child exits … closed by all the processes that have descriptors for it".
fn the_lock_lasts_as_long_as_somebody_has_the_descriptor(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let locked = "setlock: fatal: unable to lock file: temporary failure\n";
    let mut held = sandbox.start_fed("setlock", &["file", "sh", "-c", "cat & echo left"]);
    held.wait_until_it_says("left");
    // Its cat reads /dev/null and ends; the next one is told to stay.
    held.finish();
    sandbox
        .wait_until("the lock is free", || sandbox.run("setlock", &["-n", "file", "true"]).code == Some(0));
    let left = sandbox.run("setlock", &["file", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]).good();
    transcripts(&sandbox, &[("setlock -n file true", 111, "", locked)]);
    sandbox.run("kill", &[left.trim()]).good();
    sandbox
        .wait_until("the lock is free", || sandbox.run("setlock", &["-n", "file", "true"]).code == Some(0));
    // Whoever closes the descriptor gives it up.
    transcripts(&sandbox, &[("setlock file sh -c 'exec 3>&-; setlock -n file echo free'", 0, "free\n", "")]);
    transcripts(&sandbox, &[("setlock file setlock -n file true", 111, "", locked)]);
}

fn who_may_not_write_is_told_so(programs: Programs) {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with(programs);
    sandbox.copy_program("setlock");
    sandbox.write("file", "");
    let line = "setpriv --reuid=1 --regid=1 --clear-groups ./setlock file true";
    transcripts(&sandbox, &[(line, 111, "", "setlock: fatal: unable to open file: access denied\n")]);
}
