//! The wrappers find the program they become as daemontools does: not as the shell or execvp would.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::{Programs, Sandbox, on_both};
use tools::{shell, transcripts};

on_both! {
    folders_are_tried_in_order_until_one_is_broken,
    an_empty_element_of_path_is_the_working_directory,
    without_path_it_is_bin_and_usr_bin,
    a_name_with_a_slash_is_not_looked_for,
    the_path_of_the_wrapper_counts_and_not_the_one_that_envdir_sets,
    every_wrapper_names_a_child_that_cannot_be_run,
    what_a_wrapper_does_not_change_is_handed_on,
}

/// Folders in which `tool` is something else each, and the names of those in which it works.
fn scene(programs: Programs) -> Sandbox {
    let sandbox = Sandbox::with(programs);
    sandbox.script("ok/tool", "echo ok $# \"$@\"");
    sandbox.write("not-executable/tool", "#!/bin/sh\n");
    sandbox.folder("a-folder/tool");
    sandbox.executable("no-interpreter/tool", "#!/no/such/interpreter\n");
    sandbox.executable("no-format/tool", "echo no first line\n");
    sandbox.executable("empty/tool", "");
    sandbox.write("file", "");
    sandbox.link("loop", "loop");
    sandbox
}

/// "EACCES, EPERM, EISDIR go on and win over ENOENT"; anything else ends the search, and no shell runs what has no
/// format.
fn folders_are_tried_in_order_until_one_is_broken(programs: Programs) {
    let sandbox = scene(programs);
    for (path, said) in [
        ("ok", None),
        ("nowhere:ok", None),
        ("not-executable:ok", None),
        ("a-folder:ok", None),
        ("no-interpreter:ok", None),
        ("ok//", None),
        ("nowhere", Some("file does not exist")),
        ("no-interpreter", Some("file does not exist")),
        ("not-executable", Some("access denied")),
        ("a-folder", Some("access denied")),
        ("not-executable:nowhere", Some("access denied")),
        ("nowhere:a-folder:nowhere", Some("access denied")),
        ("no-format:ok", Some("exec format error")),
        ("empty:ok", Some("exec format error")),
        ("file:ok", Some("not a directory")),
        ("loop:ok", Some("symbolic link loop")),
    ] {
        let line = format!("pgrphack=$(command -v pgrphack); PATH={path}; exec $pgrphack tool a 'b c'");
        let failed = said.map(|word| format!("pgrphack: fatal: unable to run tool: {word}\n"));
        let (code, out) = if failed.is_some() { (111, "") } else { (0, "ok 2 a b c\n") };
        transcripts(&sandbox, &[(&line, code, out, &failed.unwrap_or_default())]);
    }
}

/// "an empty element is `.`".
fn an_empty_element_of_path_is_the_working_directory(programs: Programs) {
    let sandbox = scene(programs);
    for path in ["", ":", "nowhere:", ":nowhere", "nowhere::nowhere"] {
        let line = format!("pgrphack=$(command -v pgrphack); cd ok; PATH={path}; exec $pgrphack tool");
        transcripts(&sandbox, &[(&line, 0, "ok 0\n", "")]);
    }
}

/// "no PATH: /bin:/usr/bin".
fn without_path_it_is_bin_and_usr_bin(programs: Programs) {
    let sandbox = scene(programs);
    let missing = "pgrphack: fatal: unable to run tool: file does not exist\n";
    transcripts(
        &sandbox,
        &[
            ("exec env -i $(command -v pgrphack) ls -d /", 0, "/\n", ""),
            ("cd ok; exec env -i $(command -v pgrphack) tool", 111, "", missing),
        ],
    );
}

fn a_name_with_a_slash_is_not_looked_for(programs: Programs) {
    let sandbox = scene(programs);
    transcripts(
        &sandbox,
        &[
            ("pgrphack ok/tool", 0, "ok 0\n", ""),
            ("cd ok; pgrphack ./tool", 0, "ok 0\n", ""),
            ("pgrphack ./tool", 111, "", "pgrphack: fatal: unable to run ./tool: file does not exist\n"),
            (
                "pgrphack no-format/tool",
                111,
                "",
                "pgrphack: fatal: unable to run no-format/tool: exec format error\n",
            ),
            ("pgrphack ..", 111, "", "pgrphack: fatal: unable to run ..: access denied\n"),
            ("pgrphack ''", 111, "", "pgrphack: fatal: unable to run : access denied\n"),
            ("pgrphack file/tool", 111, "", "pgrphack: fatal: unable to run file/tool: not a directory\n"),
        ],
    );
    let long = "x".repeat(300);
    let said = format!("pgrphack: fatal: unable to run {long}: file name too long\n");
    transcripts(&sandbox, &[(&format!("pgrphack {long}"), 111, "", &said)]);
}

/// "Wrappers search the PATH they were started with, not the one envdir sets".
fn the_path_of_the_wrapper_counts_and_not_the_one_that_envdir_sets(programs: Programs) {
    let sandbox = scene(programs);
    let nowhere = sandbox.path("ok").display().to_string();
    sandbox.write("env/PATH", &nowhere);
    let missing = "envdir: fatal: unable to run tool: file does not exist\n";
    transcripts(
        &sandbox,
        &[
            ("envdir env tool", 111, "", missing),
            ("envdir env printenv PATH", 0, &format!("{nowhere}\n"), ""),
            ("envdir env $(command -v envdir) env tool", 0, "ok 0\n", ""),
        ],
    );
}

fn every_wrapper_names_a_child_that_cannot_be_run(programs: Programs) {
    let sandbox = scene(programs);
    sandbox.folder("env");
    for wrapper in
        ["envdir env", "envuidgid root", "softlimit -c 0", "setlock lock", "setlock -x lock", "fghack"]
    {
        let name = wrapper.split(' ').next().unwrap();
        let missing = format!("{name}: fatal: unable to run nowhere: file does not exist\n");
        transcripts(&sandbox, &[(&format!("{wrapper} nowhere"), 111, "", &missing)]);
    }
}

/// Ignored signals and closed descriptors are the child's as they were the wrapper's.
fn what_a_wrapper_does_not_change_is_handed_on(programs: Programs) {
    let sandbox = scene(programs);
    sandbox.folder("env");
    let ignored = "grep SigIgn /proc/self/status | cut -c 9-";
    for wrapper in ["envdir env", "softlimit -c 0", "setlock lock", "pgrphack"] {
        let alone = |trap: &str| shell(&sandbox, &format!("{trap} exec sh -c '{ignored}'")).good();
        for trap in ["", "trap '' PIPE;", "trap '' HUP;"] {
            let wrapped = shell(&sandbox, &format!("{trap} exec {wrapper} sh -c '{ignored}'")).good();
            assert_eq!(wrapped, alone(trap), "{trap} {wrapper}");
        }
        let open = "test -e /proc/$$/fd/0 && echo open || echo closed";
        transcripts(&sandbox, &[(&format!("{wrapper} sh -c '{open}'"), 0, "open\n", "")]);
        // Debian's setlock would make the lock its child's standard input.
        if wrapper != "setlock lock" {
            transcripts(&sandbox, &[(&format!("{wrapper} sh -c '{open}' <&-"), 0, "closed\n", "")]);
        }
        let killed = sandbox.run("/bin/sh", &["-c", &format!("exec {wrapper} sh -c 'kill -9 $$'")]);
        assert_eq!(killed.signal, Some(9), "{wrapper}: it has become the child");
    }
}
