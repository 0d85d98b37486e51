//! Details of multilog that only seldom show, on Debian's and ours.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{all_text, lines, listing, old_logs};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::process::is_at_rest;
use tests::{Programs, Sandbox, mask, on_both};
use unix::process::Signal;

on_both! {
    status_files_are_made_before_any_directory,
    a_status_file_is_opened_without_waiting,
    a_finished_current_near_its_size_is_rotated_only_when_a_line_comes,
    a_finished_current_is_gone_on_with_as_it_is,
    lines_about_as_long_as_a_log_fill_logs_exactly,
    lines_about_as_long_as_patterns_see_are_whole,
    a_last_line_without_newline_gets_one_however_long_it_is,
    an_empty_line_has_a_label_too,
    directories_share_a_processor_and_have_their_own_state,
    alrm_rotates_every_directory_that_is_not_empty,
    a_processor_that_a_signal_ended_has_crashed_and_failed,
    a_processor_may_leave_its_input_unread_and_its_output_empty,
    selection_and_limits_hold_from_their_place_on,
    an_old_log_is_never_overwritten,
}

/// "=FILE is made at the start": before any directory, wherever it stands.
fn status_files_are_made_before_any_directory(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let done = sandbox.run_fed("multilog", &["./log", "=good", "=no/status"], "a\n");
    let said = "multilog: fatal: unable to create no/status: file does not exist\n";
    assert_eq!(done.told(), (111, "", said));
    assert!(sandbox.has("good") && !sandbox.has("log"));
}

fn a_status_file_is_opened_without_waiting(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.run("mkfifo", &["fifo"]).good();
    let said = "multilog: fatal: unable to create fifo: device not configured\n";
    assert_eq!(sandbox.run_fed("multilog", &["=fifo"], "a\n").told(), (111, "", said));
}

/// "A finished current above SIZE is rotated before the first write"; with nothing to write it stays.
fn a_finished_current_near_its_size_is_rotated_only_when_a_line_comes(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // How large it is; what the finished log has after one more line of 10 bytes, and current.
    let table = [
        (2000, None, 2010),
        (2090, Some(2100), 0),
        (4000, Some(4010), 0),
        (4096, Some(4096), 10),
        (9000, Some(9000), 10),
    ];
    for (size, finished, left) in table {
        let log = format!("log{size}");
        let current = sandbox.write(format!("{log}/current"), "x".repeat(size - 1) + "\n");
        fs::set_permissions(current, fs::Permissions::from_mode(0o744)).unwrap();
        let script = ["s4096".to_owned(), format!("./{log}")];
        let script = script.each_ref().map(String::as_str);
        assert_eq!(sandbox.run_fed("multilog", &script, "").told(), (0, "", ""));
        assert_eq!(listing(&sandbox, &log)[0], format!("744 {size} current"), "nothing came");
        assert_eq!(sandbox.run_fed("multilog", &script, "123456789\n").told(), (0, "", ""));
        let expected: Vec<_> = finished
            .map(|finished| format!("744 {finished} @LABEL.s"))
            .into_iter()
            .chain([format!("744 {left} current")])
            .collect();
        assert_eq!(listing(&sandbox, &log)[..expected.len()], expected, "{size} bytes");
    }
}

/// "Set: append; everything else in the directory is left alone": also a state that is missing.
fn a_finished_current_is_gone_on_with_as_it_is(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let current = sandbox.write("log/current", "one\n");
    fs::set_permissions(current, fs::Permissions::from_mode(0o744)).unwrap();
    sandbox.run_fed("multilog", &["./log"], "two\n");
    assert_eq!(listing(&sandbox, "log"), ["744 8 current", "600 0 lock"]);
}

/// "No log exceeds SIZE: a longer line is cut at exactly SIZE without newline."
fn lines_about_as_long_as_a_log_fill_logs_exactly(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // The length of a line with its newline; sizes of the logs that it makes, the last one is current.
    let table: [(usize, &[u64]); 8] = [
        (2095, &[2095]),
        (2096, &[2096, 0]),
        (4095, &[4095, 0]),
        (4096, &[4096, 0]),
        (4097, &[4096, 1]),
        (6191, &[4096, 2095]),
        (6192, &[4096, 2096, 0]),
        (12288, &[4096, 4096, 4096, 0]),
    ];
    for (length, sizes) in table {
        let log = format!("log{length}");
        let input = "x".repeat(length - 1) + "\n";
        let done = sandbox.run_fed("multilog", &["s4096", &format!("./{log}")], &input);
        assert_eq!(done.told(), (0, "", ""));
        let size = |name: &String| sandbox.path(format!("{log}/{name}")).metadata().unwrap().len();
        let mut found: Vec<_> = old_logs(&sandbox, &log).iter().map(size).collect();
        found.push(size(&"current".to_owned()));
        assert_eq!(found, sizes, "a line of {length} bytes");
        assert!(all_text(&sandbox, &log) == input);
    }
}

/// "Patterns see the first 1000 characters (label included); longer lines are written whole."
fn lines_about_as_long_as_patterns_see_are_whole(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for first in ["t", "x"] {
        let input: String = (960..1040).map(|length| "x".repeat(length) + "\n").collect();
        let log = format!("log{first}");
        sandbox.run_fed("multilog", &[first, "s999999", "-y*", &format!("./{log}")], &input);
        let text = mask::labels(&sandbox.read(format!("{log}/current")));
        assert!(text.replace("@LABEL ", "") == input, "{first}");
    }
}

/// "A last line without newline gets one."
fn a_last_line_without_newline_gets_one_however_long_it_is(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for first in ["t", "x"] {
        for length in [1, 973, 974, 975, 999, 1000, 1001, 4095, 4096, 70_000] {
            let log = format!("log{first}{length}");
            let input = format!("a\n{}", "x".repeat(length));
            sandbox.run_fed("multilog", &[first, "s999999", &format!("./{log}")], &input);
            let text = mask::labels(&sandbox.read(format!("{log}/current")));
            assert!(text.replace("@LABEL ", "") == input + "\n", "{first} {length}");
        }
    }
}

fn an_empty_line_has_a_label_too(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.run_fed("multilog", &["t", "./log"], "\n\na");
    assert_eq!(mask::labels(&sandbox.read("log/current")), "@LABEL \n@LABEL \n@LABEL a\n");
}

/// "`!PROCESSOR` hold for the following directories"; "newstate replaces state".
fn directories_share_a_processor_and_have_their_own_state(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let counting = "!read n <&4; echo $((${n:-0} + 1)) >&5; pwd | sed s:.*/::; cat";
    let script = ["./plain", counting, "s4096", "./a", "-*", "+*5*", "./b", "!cat >&2; echo gone", "./c"];
    let input = lines(1, 300);
    let done = sandbox.run_fed("multilog", &script, &input);
    assert_eq!((done.code, done.err.is_empty()), (Some(0), false));
    let logs: Vec<_> = ["plain", "a", "b", "c"].map(|log| old_logs(&sandbox, log).len()).to_vec();
    assert!(logs[0] == 0 && logs[1] > logs[2] && logs[2] == logs[3], "{logs:?}");
    for (log, count) in [("a", logs[1]), ("b", logs[2])] {
        assert_eq!(sandbox.read(format!("{log}/state")), format!("{count}\n"));
        for name in old_logs(&sandbox, log) {
            assert!(sandbox.read(format!("{log}/{name}")).starts_with(&format!("{log}\nline ")));
        }
    }
    assert!(
        done.err.lines().all(|line| input.contains(line)),
        "what a processor says on standard error is seen"
    );
    assert_eq!(sandbox.read(format!("c/{}", old_logs(&sandbox, "c")[0])), "gone\n");
}

/// "ALRM: rotate now if not empty."
fn alrm_rotates_every_directory_that_is_not_empty(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./all", "-*", "./none", "+*", "./again"]);
    multilog.feed("one\n");
    let holds = |log: &str, text: &str| {
        sandbox.has(format!("{log}/current")) && sandbox.read(format!("{log}/current")) == text
    };
    sandbox.wait_until("the line is written", || holds("again", "one\n") && holds("all", "one\n"));
    sandbox.wait_until("it waits for more", || is_at_rest(multilog.pid()));
    multilog.signal(Signal::SIGALRM);
    sandbox.wait_until("it has rotated", || holds("again", "") && old_logs(&sandbox, "again").len() == 1);
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(["all", "none", "again"].map(|log| old_logs(&sandbox, log).len()), [1, 0, 1]);
}

/// "by a signal `processor crashed in DIR, pausing: …` and 5 s more"; then it is run again.
fn a_processor_that_a_signal_ended_has_crashed_and_failed(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let processor = "![ -e tried ] || { touch tried; kill -9 $$; }; cat";
    let done = sandbox.run_fed("multilog", &["s4096", "n100", processor, "./log"], lines(1, 60));
    assert_eq!(done.code, Some(0));
    let said: Vec<_> = done.err.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("multilog: warning: processor crashed in ./log, pausing: "), "{said:?}");
    assert_eq!(said[1], "multilog: warning: processor failed in ./log, pausing");
    assert!(all_text(&sandbox, "log") == lines(1, 60));
}

fn a_processor_may_leave_its_input_unread_and_its_output_empty(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let done = sandbox.run_fed("multilog", &["s4096", "!true", "./log"], lines(1, 60));
    assert_eq!(done.told(), (0, "", ""));
    let shown = listing(&sandbox, "log");
    assert!(shown[0] == "744 0 @LABEL.s", "{shown:?}");
}

fn selection_and_limits_hold_from_their_place_on(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let script = ["-b", "./a", "-*", "n2", "+b", "s4096", "./b", "=status", "-*", "=other"];
    assert_eq!(sandbox.run_fed("multilog", &script, "a\nb\nc\n").told(), (0, "", ""));
    assert_eq!(["a", "b"].map(|log| sandbox.read(format!("{log}/current"))), ["a\nc\n", "b\n"]);
    assert_eq!(sandbox.read("status").trim_end(), "b");
    assert_eq!(sandbox.read("other"), "");
}

/// Names are by the time, and never one that is there: many small logs, quickly.
fn an_old_log_is_never_overwritten(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let input = lines(1, 3000);
    assert_eq!(sandbox.run_fed("multilog", &["s", "n1000", "./log"], &input).told(), (0, "", ""));
    assert!(all_text(&sandbox, "log") == input);
    assert!(old_logs(&sandbox, "log").len() > 40);
}
