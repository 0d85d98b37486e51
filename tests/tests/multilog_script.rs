//! multilog's script: labels, patterns, and what is done with the lines they select.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::os::unix::fs::PermissionsExt;
use tests::{Programs, Sandbox, mask, on_both};
use unix::tai64n::Tai64n;

on_both! {
    lines_are_appended_as_they_are_and_a_last_one_gets_its_newline,
    t_as_the_very_first_letter_puts_a_label_before_each_line,
    t_anywhere_else_and_unknown_letters_are_passed_over,
    patterns_select_in_order_and_an_action_sees_the_selection_at_its_place,
    a_star_stops_at_the_first_of_the_character_that_follows_it,
    patterns_see_the_label_and_the_first_thousand_characters,
    long_lines_are_written_whole,
    e_writes_two_hundred_characters_to_standard_error,
    a_status_file_holds_the_last_line_selected,
    nothing_to_do_is_no_error,
    trouble_at_the_start_is_fatal,
}

fn lines_are_appended_as_they_are_and_a_last_one_gets_its_newline(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    assert_eq!(sandbox.run_fed("multilog", &["./log"], "a\n\n b\0\t\nlast").told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "a\n\n b\0\t\nlast\n");
    assert_eq!(sandbox.run_fed("multilog", &["./log"], "more\n").told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "a\n\n b\0\t\nlast\nmore\n");
}

/// "`t` as the very first: TAI64N label `@` + 24 hex digits + space"; "a first argument that only begins with t
/// turns labels on".
fn t_as_the_very_first_letter_puts_a_label_before_each_line(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (number, first) in ["t", "tx", "time"].into_iter().enumerate() {
        let log = format!("{}/log{number}", sandbox.dir().display());
        let before = Tai64n::now();
        assert_eq!(sandbox.run_fed("multilog", &[first, &log], "a\nb\n").told(), (0, "", ""));
        let text = sandbox.read(format!("log{number}/current"));
        assert_eq!(mask::labels(&text), "@LABEL a\n@LABEL b\n");
        let labels: Vec<_> =
            text.lines().map(|line| Tai64n::from_label(&line.as_bytes()[..25]).unwrap()).collect();
        let times: Vec<_> = [before, labels[0], labels[1], Tai64n::now()].map(Tai64n::to_bytes).to_vec();
        assert!(times.is_sorted(), "{times:?}");
    }
}

/// "t elsewhere and unknown letters are passed over".
fn t_anywhere_else_and_unknown_letters_are_passed_over(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let script = ["+*", "t", "x", "y", "", "a/b", "./log"];
    assert_eq!(sandbox.run_fed("multilog", &script, "a\n").told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "a\n");
}

/// "`-PATTERN` deselect if it matches, `+PATTERN` select; initially selected; … actions act on the selection as
/// it is at their place".
fn patterns_select_in_order_and_an_action_sees_the_selection_at_its_place(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let script = ["./all", "-*", "./none", "+apple*", "+*pie", "./some", "-apple", "e", "+*", "./again"];
    let lines = "apple\nbanana\napple pie\npie\n";
    assert_eq!(sandbox.run_fed("multilog", &script, lines).told(), (0, "", "apple pie\npie\n"));
    assert_eq!(sandbox.read("all/current"), lines);
    assert_eq!(sandbox.read("none/current"), "");
    assert_eq!(sandbox.read("some/current"), "apple\napple pie\npie\n");
    assert_eq!(sandbox.read("again/current"), lines);
}

/// "literal characters; `*` matches up to the first occurrence of the character that follows it in the pattern
/// (no backtracking); at the end it matches everything"; "the character that `*` looks for stays unread, and
/// matching goes on at it (`**` matches a line with a `*` in it)".
fn a_star_stops_at_the_first_of_the_character_that_follows_it(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let lines = ["", "a", "ab", "abc", "aab", "ba", "hello world", "a*b", "*", "+a", "a b: c: d"];
    let table: [(&str, &[&str]); 16] = [
        ("", &[""]),
        ("a", &["a"]),
        ("a*", &["a", "ab", "abc", "aab", "a*b", "a b: c: d"]),
        ("*", &lines),
        ("*b", &["ab", "aab", "a*b"]),
        ("*c", &["abc"]),
        ("a*b", &["ab", "aab", "a*b"]),
        ("*ab", &["ab"]),
        ("*ab*", &["ab", "abc"]),
        ("*o*o*", &["hello world"]),
        ("*world", &["hello world"]),
        ("**", &["a*b", "*"]),
        ("a**", &["a*b"]),
        ("+a", &["+a"]),
        ("*: *: *", &["a b: c: d"]),
        ("*: d", &[]),
    ];
    let input = lines.map(|line| format!("{line}\n")).concat();
    for (pattern, matching) in table {
        let expected: String = matching.iter().map(|line| format!("{line}\n")).collect();
        let selected = sandbox.run_fed("multilog", &["-*", &format!("+{pattern}"), "e"], &input);
        assert_eq!(selected.told(), (0, "", expected.as_str()), "+{pattern}");
        let rest: String =
            lines.iter().filter(|line| !matching.contains(line)).map(|line| format!("{line}\n")).collect();
        let deselected = sandbox.run_fed("multilog", &[&format!("-{pattern}"), "e"], &input);
        assert_eq!(deselected.told(), (0, "", rest.as_str()), "-{pattern}");
    }
}

/// "Patterns see the first 1000 characters (label included)".
fn patterns_see_the_label_and_the_first_thousand_characters(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let done = sandbox.run_fed("multilog", &["t", "-*", "+@4* b", "e"], "a\nb\n");
    assert_eq!((done.code, mask::labels(&done.err).as_str()), (Some(0), "@LABEL b\n"));
    // An exact pattern of 1000 characters also takes what is longer; 999 do not.
    let (x999, x1000, x1001) = ("x".repeat(999), "x".repeat(1000), "x".repeat(1001));
    let input = format!("{x999}\n{x1000}\n{x1001}\n");
    let done = sandbox.run_fed("multilog", &["-*", &format!("+{x1000}"), "./log"], &input);
    assert_eq!(done.told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), format!("{x1000}\n{x1001}\n"));
    // The label takes 26 characters of the thousand.
    let input = format!("{}y\n{}y\n", "x".repeat(973), "x".repeat(974));
    let done = sandbox.run_fed("multilog", &["t", "-*", "+*y", "./labelled"], &input);
    assert_eq!(done.told(), (0, "", ""));
    assert_eq!(mask::labels(&sandbox.read("labelled/current")), format!("@LABEL {}y\n", "x".repeat(973)));
}

/// "longer lines are written whole."
fn long_lines_are_written_whole(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let input = format!("{}\nshort\n{}\n", "x".repeat(70_000), "y".repeat(20_000));
    assert_eq!(sandbox.run_fed("multilog", &["s16777215", "./log"], &input).told(), (0, "", ""));
    assert!(sandbox.read("log/current") == input);
}

/// "`e` line to stderr (200 characters, then `...`)"; "`e` counts the label in its 200".
fn e_writes_two_hundred_characters_to_standard_error(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let (x200, x201) = ("x".repeat(200), "x".repeat(201));
    let done = sandbox.run_fed("multilog", &["e"], format!("{x200}\n{x201}\n"));
    assert_eq!(done.told(), (0, "", format!("{x200}\n{x200}...\n").as_str()));
    let done = sandbox.run_fed("multilog", &["t", "e"], format!("{x201}\n"));
    assert_eq!(mask::labels(&done.err), format!("@LABEL {}...\n", "x".repeat(174)));
}

/// "`=FILE` overwrite FILE with the line padded by newlines to 1001 bytes"; "=FILE is made at the start and never
/// truncated"; mode 0600.
fn a_status_file_holds_the_last_line_selected(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let padded = |line: &str| format!("{line}{}", "\n".repeat(1001 - line.len()));
    assert_eq!(sandbox.run_fed("multilog", &["-three", "=status"], "").told(), (0, "", ""));
    assert_eq!(sandbox.read("status"), "");
    assert_eq!(sandbox.path("status").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.run_fed("multilog", &["-three", "=status"], "one\ntwo\nthree\n");
    assert_eq!(sandbox.read("status"), padded("two"));
    sandbox.run_fed("multilog", &["=status"], format!("{}\n", "x".repeat(1500)));
    assert_eq!(sandbox.read("status"), padded(&"x".repeat(1000)));
    sandbox.run_fed("multilog", &["t", "=status"], "labelled\n");
    assert_eq!(mask::labels(&sandbox.read("status")).trim_end(), "@LABEL labelled");
}

fn nothing_to_do_is_no_error(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    assert_eq!(sandbox.run_fed("multilog", &[], "a\n").told(), (0, "", ""));
    assert_eq!(sandbox.run_fed("multilog", &["./log"], "").told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "");
}

/// "Startup trouble: fatal, 111."
fn trouble_at_the_start_is_fatal(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("file", "");
    sandbox.link("loop", "loop");
    let table: [(&[&str], &str); 5] = [
        (&["./nowhere/log"], "unable to open directory ./nowhere/log: file does not exist"),
        (&["./file"], "unable to open directory ./file: not a directory"),
        (&["./loop"], "unable to open directory ./loop: symbolic link loop"),
        (&["=nowhere/status"], "unable to create nowhere/status: file does not exist"),
        (&["./log", "-x", "./log"], "unable to lock directory ./log: temporary failure"),
    ];
    for (script, message) in table {
        let done = sandbox.run_fed("multilog", script, "a\n");
        assert_eq!(done.told(), (111, "", format!("multilog: fatal: {message}\n").as_str()), "{script:?}");
    }
}
