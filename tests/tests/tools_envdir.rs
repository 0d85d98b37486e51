//! envdir: files as variables, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::{Programs, Sandbox, on_both};
use tools::{is_root, transcripts};

on_both! {
    usage_and_trouble_are_told_as_daemontools_tells_them,
    a_value_is_the_first_line_without_blanks_at_its_end,
    an_empty_file_and_a_link_to_nowhere_remove_the_variable,
    names_are_taken_as_they_are_and_dot_names_passed_over,
    a_name_with_an_equals_sign_sets_what_stands_before_it,
    a_variable_goes_to_the_end_and_the_last_one_into_its_gap,
    what_is_no_file_is_fatal,
    who_may_not_read_is_told_so,
    a_long_value_arrives_whole_and_one_too_long_is_told,
    the_child_starts_where_envdir_was_started,
}

/// Usage: "envdir: 111".
fn usage_and_trouble_are_told_as_daemontools_tells_them(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("d");
    sandbox.write("file", "");
    sandbox.link("loop", "loop");
    let usage = "envdir: usage: envdir dir child\n";
    transcripts(
        &sandbox,
        &[
            ("envdir", 111, "", usage),
            ("envdir d", 111, "", usage),
            ("envdir d echo a b", 0, "a b\n", ""),
            ("envdir d sh -c 'exit 7'", 7, "", ""),
            (
                "envdir nowhere true",
                111,
                "",
                "envdir: fatal: unable to switch to directory nowhere: file does not exist\n",
            ),
            (
                "envdir file true",
                111,
                "",
                "envdir: fatal: unable to switch to directory file: not a directory\n",
            ),
            (
                "envdir loop true",
                111,
                "",
                "envdir: fatal: unable to switch to directory loop: symbolic link loop\n",
            ),
            (
                "envdir '' true",
                111,
                "",
                "envdir: fatal: unable to switch to directory : file does not exist\n",
            ),
            (
                "envdir -x true",
                111,
                "",
                "envdir: fatal: unable to switch to directory -x: file does not exist\n",
            ),
            (
                "envdir -- d true",
                111,
                "",
                "envdir: fatal: unable to switch to directory --: file does not exist\n",
            ),
        ],
    );
}

/// "one file = one variable: first line, trailing spaces and tabs removed, NUL becomes newline".
fn a_value_is_the_first_line_without_blanks_at_its_end(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (number, (file, value)) in [
        ("value", "value"),
        ("value\n", "value"),
        ("first\nsecond\n", "first"),
        ("blanks \t \n", "blanks"),
        ("  in front\n", "  in front"),
        ("in  between\t.\n", "in  between\t."),
        ("carriage return\r\n", "carriage return\r"),
        ("other space\u{b}\u{c}\n", "other space\u{b}\u{c}"),
        ("\n", ""),
        (" \t\n", ""),
        (" ", ""),
        ("\nsecond\n", ""),
        ("nul\0nul\0\n", "nul\nnul\n"),
        ("nul and blanks\0 \t\n", "nul and blanks\n"),
        ("=equals=", "=equals="),
    ]
    .into_iter()
    .enumerate()
    {
        sandbox.write(format!("d{number}/VALUE"), file);
        let line = format!("VALUE=old envdir d{number} printenv VALUE");
        transcripts(&sandbox, &[(&line, 0, &format!("{value}\n"), "")]);
    }
    fs::create_dir(sandbox.path("bytes")).unwrap();
    fs::write(sandbox.path("bytes/VALUE"), b"\xff\xfe\x01\n").unwrap();
    transcripts(&sandbox, &[("envdir bytes printenv VALUE | od -An -tx1", 0, " ff fe 01 0a\n", "")]);
}

/// "empty file removes"; "a dangling link removes the variable".
fn an_empty_file_and_a_link_to_nowhere_remove_the_variable(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("empty/GONE", "");
    sandbox.write("empty/NEVER", "");
    // Alone: 0.76 gives a dangling link what it read last.
    sandbox.folder("dangling");
    sandbox.link("dangling/GONE", "nowhere");
    for d in ["empty", "dangling"] {
        let line = format!("GONE=1 envdir {d} sh -c 'echo ${{GONE-gone}} ${{NEVER-never}}'");
        transcripts(&sandbox, &[(&line, 0, "gone never\n", "")]);
    }
    sandbox.write("target", "through the link\n");
    sandbox.folder("link");
    sandbox.link("link/VALUE", "../target");
    transcripts(&sandbox, &[("envdir link printenv VALUE", 0, "through the link\n", "")]);
}

/// "envdir passes over names with a dot in front".
fn names_are_taken_as_they_are_and_dot_names_passed_over(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (file, value) in
        [("d/.HIDDEN", "x"), ("d/a b", "blank"), ("d/new\nline", "newline"), ("d/ä", "umlaut")]
    {
        sandbox.write(file, value);
    }
    // Nobody reads what is passed over.
    sandbox.folder("d/.folder");
    let all = "env -i $(command -v envdir) d /usr/bin/env -0 | sort -z | tr '\\0' '|'";
    transcripts(&sandbox, &[(all, 0, "a b=blank|new\nline=newline|ä=umlaut|", "")]);
}

fn a_name_with_an_equals_sign_sets_what_stands_before_it(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("value/X=Y", "z");
    sandbox.write("empty/X=Y", "");
    sandbox.write("nameless/=Y", "z");
    for (d, result) in [("value", "X=Y=z|"), ("empty", "X=Y|"), ("nameless", "X=old|=Y=z|")] {
        let line = format!("env -i X=old $(command -v envdir) {d} /usr/bin/env -0 | tr '\\0' '|'");
        transcripts(&sandbox, &[(&line, 0, result, "")]);
    }
}

fn a_variable_goes_to_the_end_and_the_last_one_into_its_gap(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("set/A", "new");
    sandbox.write("removed/A", "");
    for (d, result) in [("set", "D=4|B=2|C=3|A=new|"), ("removed", "D=4|B=2|C=3|")] {
        let line = format!("env -i A=1 B=2 C=3 D=4 $(command -v envdir) {d} /usr/bin/env -0 | tr '\\0' '|'");
        transcripts(&sandbox, &[(&line, 0, result, "")]);
    }
}

/// "a directory is fatal".
fn what_is_no_file_is_fatal(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("folder/NAME");
    sandbox.folder("linked");
    sandbox.link("linked/NAME", ".");
    sandbox.folder("loop");
    sandbox.link("loop/NAME", "NAME");
    sandbox.folder("through");
    sandbox.write("file", "");
    sandbox.link("through/NAME", "../file/nowhere");
    for (d, word) in [
        ("folder", "is a directory"),
        ("linked", "is a directory"),
        ("loop", "symbolic link loop"),
        ("through", "not a directory"),
    ] {
        let said = format!("envdir: fatal: unable to read {d}/NAME: {word}\n");
        transcripts(&sandbox, &[(&format!("envdir {d} true"), 111, "", &said)]);
    }
    // A FIFO without a writer is an empty file: nobody waits.
    sandbox.folder("fifo");
    mkfifo(&sandbox.path("fifo/NAME"), Mode::from_bits_truncate(0o600)).unwrap();
    transcripts(&sandbox, &[("NAME=1 envdir fifo sh -c 'echo ${NAME-gone}'", 0, "gone\n", "")]);
}

fn who_may_not_read_is_told_so(programs: Programs) {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with(programs);
    sandbox.copy_program("envdir");
    sandbox.write("d/NAME", "value");
    for (file, mode) in [("d/NAME", 0o600), ("d", 0o755)] {
        fs::set_permissions(sandbox.path(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    let line = "setpriv --reuid=1 --regid=1 --clear-groups ./envdir d true";
    transcripts(&sandbox, &[(line, 111, "", "envdir: fatal: unable to read d/NAME: access denied\n")]);
    fs::set_permissions(sandbox.path("d"), fs::Permissions::from_mode(0o711)).unwrap();
    transcripts(&sandbox, &[(line, 111, "", "envdir: fatal: unable to read directory d: access denied\n")]);
    fs::set_permissions(sandbox.path("d"), fs::Permissions::from_mode(0o744)).unwrap();
    transcripts(
        &sandbox,
        &[(line, 111, "", "envdir: fatal: unable to switch to directory d: access denied\n")],
    );
}

fn a_long_value_arrives_whole_and_one_too_long_is_told(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("long/VALUE", "x".repeat(100_000));
    sandbox.write("longer/VALUE", "x".repeat(300_000));
    transcripts(
        &sandbox,
        &[
            ("envdir long printenv VALUE | wc -c", 0, "100001\n", ""),
            ("envdir longer true", 111, "", "envdir: fatal: unable to run true: argument list too long\n"),
        ],
    );
}

fn the_child_starts_where_envdir_was_started(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("d/NAME", "value");
    sandbox.folder("d/.below");
    transcripts(
        &sandbox,
        &[
            ("test \"$(envdir d pwd -P)\" = \"$(pwd -P)\"", 0, "", ""),
            ("cd d/.below; envdir .. sh -c 'echo $NAME; basename $(pwd)'", 0, "value\n.below\n", ""),
        ],
    );
}

/// Ours alone: 0.76 keeps an earlier entry of a variable that occurs twice, and gives a dangling link the value that
/// it read last.
#[test]
fn ours_changes_every_entry_of_a_variable_and_forgets_what_it_read_before() {
    let sandbox = Sandbox::new();
    for name in ["A", "B", "C", "D", "E"] {
        sandbox.write(format!("d/{name}"), "read before");
        sandbox.link(format!("d/LINK-{name}"), "nowhere");
    }
    let line = "LINK=1 envdir d sh -c 'env | grep -c LINK-; printenv A'";
    transcripts(&sandbox, &[(line, 0, "0\nread before\n", "")]);
    let twice = sandbox.write(
        "twice.py",
        "import ctypes, sys\n\
         strings = lambda l: (ctypes.c_char_p * (len(l) + 1))(*[s.encode() for s in l], None)\n\
         ctypes.CDLL(None).execve(sys.argv[1].encode(), strings([\"envdir\", \"d\", \"/usr/bin/env\"]),\n\
         strings([\"A=1\", \"Z=26\", \"A=2\"]))\n",
    );
    let envdir = sandbox.programs().path("envdir");
    let said = sandbox.run("/usr/bin/python3", &[twice.to_str().unwrap(), envdir.to_str().unwrap()]).good();
    assert_eq!(said.lines().filter(|line| line.starts_with("A=")).collect::<Vec<_>>(), ["A=read before"]);
    // An endless file is an over-long value, not an endless wait.
    sandbox.folder("endless");
    sandbox.link("endless/VALUE", "/dev/zero");
    let said = "envdir: fatal: unable to run true: argument list too long\n";
    transcripts(&sandbox, &[("envdir endless true", 111, "", said)]);
}
