//! What is wrong with a command line, or with what it names, is one line that says what to do, and the exit code that
//! `skynet --help` promises.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, assert_one_line};
use std::fs;

/// Every command, with words that it takes.
const COMMANDS: &[&[&str]] = &[
    &["new", "x"],
    &["test", "x"],
    &["run", "x"],
    &["send", "x"],
    &["launch", "x"],
    &["wi", "status", "x"],
    &["wi", "cancel", "x"],
    &["wi", "watch", "x"],
    &["local", "up"],
    &["local", "down"],
    &["local", "status"],
    &["status", "x"],
    &["enable", "x"],
    &["disable", "x"],
    &["start", "x"],
    &["stop", "x"],
    &["restart", "x"],
    &["reload", "x"],
    &["once", "x"],
    &["kill", "x"],
    &["remove", "x"],
    &["config", "x"],
    &["config", "x", "set", "a", "b"],
    &["config", "x", "unset", "a"],
    &["doctor"],
    &["failed", "x"],
    &["notify", "test", "x"],
    &["queues", "x"],
    &["log", "x"],
    &["history", "x"],
    &["trace", "x"],
    &["register", "x"],
    &["unregister", "x"],
];

/// "100  wrong usage": an option that there is not, in each command.
#[test]
fn an_unknown_option_is_told_in_a_line_with_the_way_to_help() {
    let home = Home::new();
    let help = home.good(&["--help"]);
    let listed =
        help.lines().filter(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    for command in listed.take_while(|word| !word.starts_with('-')) {
        assert!(
            COMMANDS.iter().any(|words| words[0] == command),
            "{command} is not in the table of this test"
        );
    }
    for words in COMMANDS {
        let done = home.skynet(&[words, &["--bogus"][..]].concat());
        assert_one_line(&done, 100, "unexpected argument '--bogus' found (");
        assert!(
            done.err.contains(words[0]) && done.err.trim_end().ends_with(" --help)"),
            "{words:?}: {done:?}"
        );
    }
    assert!(!home.root().exists(), "nothing was made");
}

/// Words that are missing, too many, or no command.
#[test]
fn a_command_line_that_makes_no_sense_is_told_in_a_line() {
    let home = Home::new();
    for (words, part) in [
        (&["histroy"][..], "unrecognized subcommand 'histroy' (a similar subcommand exists: 'history'"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate' (skynet --help)"),
        (&["stop"], "required arguments were not provided: <NAME> (skynet stop --help)"),
        (&["trace"], "<WFID> (skynet trace --help)"),
        (&["trace", "a", "b"], "unexpected argument 'b' found"),
        (&["doctor", "x"], "unexpected argument 'x' found"),
        (&["config", "x", "set", "grace"], "<VALUE> (skynet config set --help)"),
        (&["stop", "x", "--timeout", "soon"], "invalid value 'soon' for '--timeout <TIME>'"),
        (&["log", "-n", "many"], "invalid value 'many' for '--lines <LINES>'"),
        (&["log", "--since", "yesterday"], "invalid value 'yesterday' for '--since <TIME>'"),
        (&["log", "--grep", "("], "--grep"),
        (&["send", "q", "--field", "novalue"], "novalue"),
        (&["send", "q", "--timeout", "3s"], "--wait"),
        (
            &["send", "q", "--fields-json", "{\"a\": 1}"],
            "--fields-json takes the name of a file, or - for standard input",
        ),
        (
            &["new", "stop", "-t", "exec"],
            "\"stop\" is no name for a participant from the template \"exec\": its file stop",
        ),
        (&["new", "exoskeleton", "-t", "exoskeleton"], "its file exoskeleton.py would be taken for another"),
        (&["notify", "tset"], "unrecognized subcommand 'tset'"),
    ] {
        assert_one_line(&home.skynet(words), 100, part);
    }
    // Nothing at all is answered by help.
    let done = home.skynet(&[]);
    assert!(done.code == Some(100) && done.err.contains("Usage: skynet"), "{done:?}");
}

/// What is no name, what is not there, what is a file and what is a folder.
#[test]
fn what_a_command_names_and_is_not_there_is_told_in_a_line_with_the_nearest_that_is() {
    let home = Home::up_without_broker();
    home.service("sizer", "exec sleep 1000");
    home.good(&["enable", "./sizer"]);
    let folder = home.folder.path();
    fs::write(folder.join("file"), "x").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    for verb in
        ["disable", "stop", "restart", "reload", "kill", "remove", "status", "queues", "log", "history"]
    {
        let code = if verb == "status" { 4 } else { 1 };
        assert_one_line(&home.skynet(&[verb, "sizr"]), code, "no participant \"sizr\"");
        assert_one_line(&home.skynet(&[verb, "sizr"]), code, "(did you mean \"sizer\"?)");
        assert_one_line(&home.skynet(&[verb, "nothing*"]), code, "matches \"nothing*\"");
        for odd in ["a/b", "a b", "a.b", "a\nb", "", ".."] {
            assert_one_line(&home.skynet(&[verb, odd]), code, &format!("no participant {odd:?}"));
        }
    }
    for verb in ["enable", "start", "once"] {
        assert_one_line(&home.skynet(&[verb, "sizr"]), 1, "did you mean \"sizer\"?");
        assert_one_line(&home.skynet(&[verb, "./empty"]), 1, "run: it is missing");
        assert_one_line(&home.skynet(&[verb, "./nowhere"]), 1, "there is no folder ./nowhere");
        assert_one_line(
            &home.skynet(&[verb, "./file"]),
            1,
            "./file is a file: a participant is named by its folder",
        );
    }
    for (words, code, part) in [
        (&["enable", "a b"][..], 100, "\"a b\" is no name for a participant: it has ' ' in it"),
        (&["enable", "a.b"], 100, "it has '.' in it"),
        (&["enable", "a\nb"], 100, "it has '\\n' in it"),
        (&["new", "a/b"], 100, "it has '/' in it"),
        (&["new", "a b"], 100, "it has ' ' in it"),
        (&["new", "x", "./file"], 111, "file"),
        (&["config", "--check", "./file"], 1, "./file is a file"),
        (&["config", "--check", "./sizer"], 1, "there is no config.exo in"),
        (&["config", "./file", "set", "grace", "3s"], 1, "./file is a file"),
        (&["config", "sizr"], 1, "did you mean \"sizer\"?"),
        (&["config", "sizr", "set", "grace", "3s"], 1, "did you mean \"sizer\"?"),
        (&["config", "set", "grcae", "3s"], 1, "did you mean \"grace\"?"),
        (&["config", "set", "a..b", "3s"], 1, "\"a..b\" is no key"),
        (&["config", "unset", "grace"], 1, "grace does not stand here"),
        (&["failed", "sizr"], 1, "did you mean \"sizer\"?"),
        (&["failed", "sizer", "nothing"], 1, "no failed workitem \"nothing\""),
        (&["notify", "test", "sizr"], 1, "did you mean \"sizer\"?"),
        (&["trace", "w0"], 1, "nothing is known of w0 here"),
        (&["launch", "./nowhere"], 111, "cannot read ./nowhere: No such file or directory"),
        (&["launch", "./empty"], 111, "cannot read ./empty: Is a directory"),
        (&["send", "sizer", "--fields-json", "./nowhere"], 111, "./nowhere: No such file or directory"),
        (&["send", "sizer", "--fields-json", "./empty"], 111, "./empty: Is a directory"),
        (&["send", "sizer", "--fields-json", "./file"], 100, "./file"),
        (&["test", "./file"], 1, "./file is a file"),
        (&["run", "./file"], 1, "./file is a file"),
        (&["register", "./file"], 1, "./file is a file"),
        (&["register", "sizr"], 1, "did you mean \"sizer\"?"),
        (&["--system", "local", "up"], 100, "systemctl start skynet"),
    ] {
        assert_one_line(&home.skynet(words), code, part);
    }
}
