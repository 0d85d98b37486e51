//! multilog when others rename, truncate or remove what it writes, and what it does beyond daemontools' letters.
//! Debian's multilog copes with none of this, so these tests run ours only.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{all_text, lines, listing, names, old_logs};
use std::fs;
use std::path::Path;
use tests::{Running, Sandbox};
use unix::process::Signal;

fn wait_for_line(sandbox: &Sandbox, file: &str, text: &str) {
    sandbox.wait_until(&format!("{file} holds {text:?}"), || sandbox.has(file) && sandbox.read(file) == text);
}

fn begun(sandbox: &Sandbox, script: &[&str]) -> Running {
    let mut multilog = sandbox.start_fed("multilog", script);
    multilog.feed("one\n");
    wait_for_line(sandbox, "log/current", "one\n");
    multilog
}

/// "if `current` was renamed … under us, the next write goes to a new `current`"
#[test]
fn after_current_was_renamed_the_next_line_goes_to_a_new_current() {
    let sandbox = Sandbox::new();
    let mut multilog = begun(&sandbox, &["./log"]);
    fs::rename(sandbox.path("log/current"), sandbox.path("log/current.1")).unwrap();
    multilog.feed("two\n");
    wait_for_line(&sandbox, "log/current", "two\n");
    assert_eq!(sandbox.read("log/current.1"), "one\n");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    let expected = ["744 4 current", "644 4 current.1", "600 0 lock", "644 0 state"];
    assert_eq!(listing(&sandbox, "log"), expected);
}

#[test]
fn after_current_was_replaced_the_file_of_the_other_is_gone_on_with() {
    let sandbox = Sandbox::new();
    let mut multilog = begun(&sandbox, &["s4096", "./log"]);
    fs::rename(sandbox.path("log/current"), sandbox.path("log/current.1")).unwrap();
    sandbox.write("log/current", "");
    multilog.feed("two\n");
    wait_for_line(&sandbox, "log/current", "two\n");
    multilog.feed(lines(1, 100));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(all_text(&sandbox, "log") == format!("two\n{}", lines(1, 100)));
    assert_eq!(sandbox.read("log/current.1"), "one\n");
}

/// "… or truncated under us": as logrotate does with copytruncate.
#[test]
fn after_current_was_truncated_the_next_line_is_its_first_and_its_size_counts_anew() {
    let sandbox = Sandbox::new();
    let mut multilog = sandbox.start_fed("multilog", &["s4096", "./log"]);
    multilog.feed(lines(1, 30));
    wait_for_line(&sandbox, "log/current", &lines(1, 30));
    fs::File::options().write(true).open(sandbox.path("log/current")).unwrap().set_len(0).unwrap();
    multilog.feed(lines(31, 60));
    wait_for_line(&sandbox, "log/current", &lines(31, 60));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(old_logs(&sandbox, "log").len(), 0, "30 lines are not enough to finish a log");
}

/// "`logrotate` coping", with the real one, in each of its ways.
#[test]
fn logrotate_may_rotate_current_in_each_of_its_ways() {
    let sandbox = Sandbox::new();
    for way in ["nocreate", "create", "copytruncate"] {
        let log = format!("{way}/log");
        let current = format!("{log}/current");
        sandbox.folder(way);
        let file = sandbox.path(&current);
        let rule = format!("{} {{\n rotate 3\n missingok\n {way}\n}}\n", file.display());
        sandbox.write(format!("{way}.conf"), rule);
        let mut multilog = sandbox.start_fed("multilog", &[&format!("./{log}")]);
        for number in 1..=3 {
            multilog.feed(format!("{number}\n"));
            wait_for_line(&sandbox, &current, &format!("{number}\n"));
            let done = sandbox.run("/usr/sbin/logrotate", &["-f", "-s", "state", &format!("{way}.conf")]);
            assert_eq!(done.told(), (0, "", ""), "{way}");
        }
        multilog.feed("4\n");
        wait_for_line(&sandbox, &current, "4\n");
        assert_eq!(multilog.finish().told(), (0, "", ""), "{way}");
        let rotated = [3, 2, 1].map(|age| sandbox.read(format!("{current}.{age}")));
        assert_eq!(rotated, ["1\n", "2\n", "3\n"], "{way}");
        assert_eq!(old_logs(&sandbox, &log).len(), 0);
    }
}

#[test]
fn the_sample_for_logrotate_is_one_that_logrotate_takes() {
    let sandbox = Sandbox::new();
    // Owned by root and readable by all, as packages install it.
    let sample = fs::read(tests::checkout().join("packaging/logrotate")).unwrap();
    sandbox.write("sample", sample);
    let done = sandbox.run("/usr/sbin/logrotate", &["-d", "-s", "state", "sample"]);
    assert_eq!(done.code, Some(0));
    assert!(!done.err.contains("error") && done.err.contains("svscan.log"), "{}", done.err);
}

#[test]
fn alrm_rotates_nothing_that_is_not_its_own() {
    let sandbox = Sandbox::new();
    let mut multilog = begun(&sandbox, &["./log"]);
    fs::rename(sandbox.path("log/current"), sandbox.path("log/mine")).unwrap();
    multilog.signal(Signal::SIGALRM);
    sandbox.wait_until("a new current", || sandbox.has("log/current"));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(names(&sandbox, "log"), ["current", "lock", "mine", "state"]);
}

/// "a directory that vanishes and returns": "a warning, wait 5 s, try again: nothing is dropped".
#[test]
fn fault_log_directory_removed_it_is_made_again_and_no_line_is_dropped() {
    let sandbox = Sandbox::new();
    let mut multilog = begun(&sandbox, &["./log"]);
    fs::remove_dir_all(sandbox.path("log")).unwrap();
    multilog.feed("two\n");
    multilog.wait_until_it_says(
        "multilog: warning: unable to create ./log/current, pausing: file does not exist\n",
    );
    multilog.feed("three\n");
    wait_for_line(&sandbox, "log/current", "two\nthree\n");
    assert_eq!(multilog.finish().code, Some(0));
    assert_eq!(listing(&sandbox, "log"), ["744 10 current", "600 0 lock", "644 0 state"]);
}

/// As above, but the place where the directory was is not there either: until it returns, it waits.
#[test]
fn fault_place_of_a_log_directory_removed_it_is_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.folder("disk");
    let mut multilog = sandbox.start_fed("multilog", &["./disk/log"]);
    multilog.feed("one\n");
    wait_for_line(&sandbox, "disk/log/current", "one\n");
    fs::remove_dir_all(sandbox.path("disk")).unwrap();
    multilog.feed("two\n");
    multilog.wait_until_it_says("unable to open directory ./disk/log, pausing: file does not exist\n");
    sandbox.folder("disk");
    wait_for_line(&sandbox, "disk/log/current", "two\n");
    assert_eq!(multilog.finish().code, Some(0));
}

/// Trouble with one log does not keep the others from what was read.
#[test]
fn fault_trouble_with_one_log_leaves_the_others_alone() {
    let sandbox = Sandbox::new();
    sandbox.folder("disk");
    let mut multilog = sandbox.start_fed("multilog", &["./disk/log", "./log"]);
    multilog.feed("one\n");
    wait_for_line(&sandbox, "log/current", "one\n");
    wait_for_line(&sandbox, "disk/log/current", "one\n");
    fs::remove_dir_all(sandbox.path("disk")).unwrap();
    multilog.feed("two\n");
    wait_for_line(&sandbox, "log/current", "one\ntwo\n");
    multilog.wait_until_it_says("unable to create ./disk/log/current, pausing: file does not exist\n");
    sandbox.folder("disk");
    wait_for_line(&sandbox, "disk/log/current", "two\n");
    assert_eq!(multilog.finish().code, Some(0));
    assert_eq!(sandbox.read("log/current"), "one\ntwo\n");
}

/// `!` alone: what follows has no processor. (0.76 runs an empty command and keeps an empty log.)
#[test]
fn an_exclamation_mark_alone_ends_the_effect_of_a_processor() {
    let sandbox = Sandbox::new();
    let script = ["s4096", "n100", "!true", "./empty", "!", "./whole"];
    assert_eq!(sandbox.run_fed("multilog", &script, lines(1, 200)).told(), (0, "", ""));
    assert!(all_text(&sandbox, "whole") == lines(1, 200));
    assert!(all_text(&sandbox, "empty").len() < 4096);
}

/// A log directory that is renamed stays the log directory of the multilog that runs.
#[test]
fn fault_log_directory_renamed_it_goes_on_where_it_is() {
    let sandbox = Sandbox::new();
    let mut multilog = begun(&sandbox, &["s4096", "./log"]);
    fs::rename(sandbox.path("log"), sandbox.path("moved")).unwrap();
    multilog.feed(lines(1, 200));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(all_text(&sandbox, "moved") == format!("one\n{}", lines(1, 200)));
    assert!(!sandbox.has("log"));
}

/// A leftover `previous` beside a finished `current` is not overwritten by the next rotation (0.76 does).
#[test]
fn a_previous_beside_a_finished_current_is_kept_when_current_is_rotated() {
    let sandbox = Sandbox::new();
    sandbox.run_fed("multilog", &["./log"], "one\n");
    sandbox.write("log/previous", "before\n");
    let mut multilog = sandbox.start_fed("multilog", &["s4096", "./log"]);
    multilog.feed(lines(1, 50));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(all_text(&sandbox, "log") == format!("before\none\n{}", lines(1, 50)));
}

/// "`T` (human ISO 8601 UTC label)"
#[test]
fn a_capital_t_puts_date_and_time_in_utc_before_each_line() {
    let sandbox = Sandbox::new();
    let script = ["T", "-*", "+20*Z two", "./log"];
    assert_eq!(sandbox.run_fed("multilog", &script, "one\ntwo\n").told(), (0, "", ""));
    let text = sandbox.read("log/current");
    let masked: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(masked, "0000-00-00T00:00:00.000000Z two\n");
    let today = sandbox.run("date", &["-u", "+%Y-%m-%d"]).good();
    let year = &today[..4];
    assert!(text.starts_with(year), "{text} on {today}");
}

/// "`w` (encore's extension for the safe suffix)"
#[test]
fn w_names_the_end_of_safely_written_logs_for_the_directories_that_follow() {
    let sandbox = Sandbox::new();
    let script = ["s4096", "./plain", "wtxt", "./text", "w", "./bare", "!cat", "wgz", "./processed"];
    assert_eq!(sandbox.run_fed("multilog", &script, lines(1, 100)).told(), (0, "", ""));
    for (log, end) in [("plain", ".s"), ("text", ".txt"), ("bare", "."), ("processed", ".gz")] {
        let old = old_logs(&sandbox, log);
        assert!(!old.is_empty() && old.iter().all(|name| name[25..] == *end), "{log}: {old:?}");
    }
    let done = sandbox.run_fed("multilog", &["wa/b", "./log"], "one\n");
    let said = "multilog: fatal: wa/b: the end of a file's name cannot hold a slash\n";
    assert_eq!(done.told(), (100, "", said));
    assert!(!sandbox.has("log"));
}

/// "Sizes above 16 MiB allowed."
#[test]
fn a_log_may_be_larger_than_16_mib() {
    let sandbox = Sandbox::new();
    let input = "x".repeat(999).into_bytes();
    let input: Vec<u8> = input.into_iter().chain(*b"\n").cycle().take(18_000_000).collect();
    assert_eq!(sandbox.run_fed("multilog", &["s17000000", "./log"], input).told(), (0, "", ""));
    let old = old_logs(&sandbox, "log");
    let size = sandbox.path(format!("log/{}", old[0])).metadata().unwrap().len();
    assert!(old.len() == 1 && (16_998_000..=17_000_000).contains(&size), "{old:?}: {size}");
}

/// "that write a gigabyte without a newline": memory grows neither with the line nor with the number of lines.
#[test]
fn fault_endless_line_memory_of_multilog_stays_the_same() {
    let sandbox = Sandbox::new();
    let inputs = [("head -c 200000000 /dev/zero", 200_000_001), ("yes '' | head -c 5000000", 5_000_000)];
    for (number, (input, size)) in inputs.into_iter().enumerate() {
        for (label, bytes) in [("x", 0), ("t", 26)] {
            let log = format!("log{number}{label}");
            // Address space of 10 MiB, the program included.
            let script = format!("{input} | (ulimit -v 10240; exec multilog {label} s999999999 ./{log})");
            assert_eq!(sandbox.run("sh", &["-c", &script]).told(), (0, "", ""), "{script}");
            let lines = if number == 0 { 1 } else { 5_000_000 };
            let written = sandbox.path(log).join("current").metadata().unwrap().len();
            assert_eq!(written, size + lines * bytes, "{script}");
            sandbox.remove(format!("log{number}{label}/current"));
        }
    }
}

/// "never holds back a line": each is where it goes while no more comes.
#[test]
fn a_line_is_everywhere_it_goes_though_nothing_follows() {
    let sandbox = Sandbox::new();
    let mut multilog =
        sandbox.start_fed("multilog", &["T", "./all", "-*", "+*two", "./some", "=status", "e"]);
    let holds = |file: &str, text: &str| sandbox.has(file) && sandbox.read(file).trim_end().ends_with(text);
    for (line, selected) in [("one", false), ("two", true), ("three", false)] {
        multilog.feed(format!("{line}\n"));
        sandbox.wait_until(&format!("{line} is written"), || holds("all/current", line));
        if selected {
            for file in ["some/current", "status"] {
                sandbox.wait_until(&format!("{line} is in {file}"), || holds(file, line));
            }
            multilog.wait_until_it_says("Z two");
        }
    }
    assert_eq!(multilog.finish().code, Some(0));
}

/// "Reads big blocks, … writes with as few system calls as possible"; `current` is checked "at rotation speed, not per
/// line".
#[test]
fn many_lines_take_few_system_calls() {
    if !Path::new("/usr/bin/strace").exists() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("input", lines(1, 20_000));
    let multilog = sandbox.programs().path("multilog");
    let script = format!("exec strace -o trace {} t s99999999 ./log <input", multilog.display());
    assert_eq!(sandbox.run("sh", &["-c", &script]).told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current").lines().count(), 20_000);
    let calls = sandbox.read("trace").lines().count();
    assert!(calls < 500, "{calls} system calls for 20000 lines");
}

/// A line that is begun in one read and goes on in others has one label, and is written once.
#[test]
fn a_line_that_comes_in_pieces_is_one_line_with_one_label() {
    let sandbox = Sandbox::new();
    let mut multilog = sandbox.start_fed("multilog", &["t", "./log"]);
    let mut expected = "@LABEL ab".to_owned();
    multilog.feed("a");
    multilog.feed("b");
    for c in ["c", "d"] {
        // More than what patterns see: it is written before the line ends.
        multilog.feed(c.repeat(3000));
        expected += &c.repeat(3000);
        sandbox.wait_until("the part is written", || {
            sandbox.has("log/current") && tests::mask::labels(&sandbox.read("log/current")) == expected
        });
    }
    multilog.feed("\ne");
    multilog.feed("\n");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(tests::mask::labels(&sandbox.read("log/current")) == expected + "\n@LABEL e\n");
}

/// An input that cannot be read is said; what was read before is safe.
#[test]
fn an_input_that_cannot_be_read_is_fatal_and_leaves_a_finished_log() {
    let sandbox = Sandbox::new();
    let done = sandbox.run("sh", &["-c", "exec multilog ./log <."]);
    assert_eq!(done.told(), (111, "", "multilog: fatal: unable to read input: is a directory\n"));
    assert_eq!(listing(&sandbox, "log"), ["744 0 current", "600 0 lock", "644 0 state"]);
}
