//! When multilog begins a new file, how old ones are called, and how many stay.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{all_text, lines, listing, old_logs};
use tests::{Programs, Sandbox, mask, on_both};

on_both! {
    a_log_is_finished_at_a_line_end_within_two_thousand_bytes_of_its_size,
    no_log_exceeds_its_size_and_only_a_longer_line_is_cut,
    a_line_that_is_not_longer_is_not_cut_when_it_comes_in_parts,
    the_exact_byte_at_which_a_line_end_finishes_a_log,
    all_lines_stay_in_order_across_files,
    one_log_less_than_the_number_stays,
    s_and_n_without_a_number_mean_the_minimum,
    s_and_n_hold_for_the_directories_that_follow,
    counted_are_names_of_a_label_whatever_follows,
    a_finished_current_that_is_too_large_is_rotated_first,
    old_logs_are_called_by_the_time_they_were_finished,
}

/// "Rotation when `current` has reached SIZE, or within 2000 bytes of SIZE at a line end".
fn a_log_is_finished_at_a_line_end_within_two_thousand_bytes_of_its_size(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let done = sandbox.run_fed("multilog", &["s4096", "n100", "./log"], lines(1, 1000));
    assert_eq!(done.told(), (0, "", ""));
    let logs = old_logs(&sandbox, "log");
    assert!(logs.len() > 10);
    for name in &logs {
        let text = sandbox.read(format!("log/{name}"));
        assert!((2096..=4096).contains(&text.len()) && text.ends_with('\n'), "{name}: {}", text.len());
        assert!(name.ends_with(".s"), "{name}");
    }
    assert!(all_text(&sandbox, "log") == lines(1, 1000));
}

/// "No log exceeds SIZE: a longer line is cut at exactly SIZE without newline."
fn no_log_exceeds_its_size_and_only_a_longer_line_is_cut(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let input = format!("{}\nshort\n", "x".repeat(10_000));
    assert_eq!(sandbox.run_fed("multilog", &["s4096", "./log"], &input).told(), (0, "", ""));
    assert_eq!(
        listing(&sandbox, "log"),
        ["744 4096 @LABEL.s", "744 4096 @LABEL.s", "744 1815 current", "600 0 lock", "644 0 state"]
    );
    assert!(all_text(&sandbox, "log") == input);
    // The label belongs to the line; what follows the cut has none.
    sandbox.run_fed("multilog", &["t", "s4096", "./labelled"], format!("{}\nshort\n", "x".repeat(5000)));
    let expected = format!("@LABEL {}\n@LABEL short\n", "x".repeat(5000));
    assert!(mask::labels(&all_text(&sandbox, "labelled")) == expected);
}

/// A line that begins within 2000 bytes of SIZE begins the next log, also where its beginning would still fit.
fn a_line_that_is_not_longer_is_not_cut_when_it_comes_in_parts(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["s4096", "./log"]);
    let (short, long) = ("x".repeat(2499) + "\n", "y".repeat(1999) + "\n");
    // All but the last 500 bytes at once.
    multilog.feed(format!("{short}{}", &long[..1500]));
    sandbox.wait_until("the first line is written", || {
        sandbox.has("log/current") && all_text(&sandbox, "log").contains(&short)
    });
    multilog.feed(&long[1500..]);
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(listing(&sandbox, "log")[..2], ["744 2500 @LABEL.s", "744 2000 current"]);
}

fn the_exact_byte_at_which_a_line_end_finishes_a_log(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // The first line's length with its newline; then how long the finished log is, and what is left.
    let table = [(2095, 2145, 0), (2096, 2096, 50), (2097, 2097, 50)];
    for (number, (first, finished, left)) in table.into_iter().enumerate() {
        let log = format!("log{number}");
        let mut multilog = sandbox.start_fed("multilog", &["s4096", &format!("./{log}")]);
        // One after the other: with much input any line end within the 2000 bytes may be the point.
        multilog.feed("x".repeat(first - 1) + "\n");
        sandbox.wait_until("the first line is written", || {
            sandbox.has(format!("{log}/current")) && all_text(&sandbox, &log).len() == first
        });
        multilog.feed("y".repeat(49) + "\n");
        assert_eq!(multilog.finish().told(), (0, "", ""));
        let expected = [format!("744 {finished} @LABEL.s"), format!("744 {left} current")];
        assert_eq!(listing(&sandbox, &log)[..2], expected, "a first line of {first} bytes");
    }
}

fn all_lines_stay_in_order_across_files(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["s5000", "n1000", "./log"]);
    // In pieces that end anywhere.
    for piece in lines(1, 2000).as_bytes().chunks(777) {
        multilog.feed(piece);
    }
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(all_text(&sandbox, "log") == lines(1, 2000));
}

/// "at most NUM-1 old logs stay; … the smallest goes first."
fn one_log_less_than_the_number_stays(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for number in [2, 4] {
        let log = format!("log{number}");
        let script = ["s4096", &format!("n{number}"), &format!("./{log}")];
        sandbox.run_fed("multilog", &script, lines(1, 1000));
        assert_eq!(old_logs(&sandbox, &log).len(), number - 1);
        // The newest stay.
        let kept = all_text(&sandbox, &log);
        assert!(lines(1, 1000).ends_with(&kept) && kept.len() > 2000 * (number - 1));
    }
    sandbox.run_fed("multilog", &["s4096", "./ten"], lines(1, 1000));
    assert_eq!(old_logs(&sandbox, "ten").len(), 9, "ten by default");
}

/// "`s` or `n` without a number means the minimum; what follows the digits is ignored".
fn s_and_n_without_a_number_mean_the_minimum(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let table: [(&str, &str); 6] =
        [("s4096", "n2"), ("s", "n"), ("s1", "n1"), ("s0", "n0"), ("sx", "nx"), ("s4096x9", "n2x9")];
    for (number, (size, count)) in table.into_iter().enumerate() {
        let log = format!("log{number}");
        // One line after the other, so that the point of rotation is the same for all.
        sandbox.run_fed("multilog", &[size, count, &format!("./{log}")], lines(1, 200));
        assert_eq!(old_logs(&sandbox, &log).len(), 1, "{size} {count}");
        let old = sandbox.read(format!("{log}/{}", old_logs(&sandbox, &log)[0]));
        assert!((2096..=4096).contains(&old.len()), "{size} {count}: {}", old.len());
    }
}

/// "`sSIZE`, `nNUM`, `!PROCESSOR` hold for the following directories".
fn s_and_n_hold_for_the_directories_that_follow(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let script = ["./default", "s4096", "n3", "./small", "s200000", "./large"];
    sandbox.run_fed("multilog", &script, lines(1, 1000));
    let logs = ["default", "small", "large"].map(|log| old_logs(&sandbox, log).len());
    assert_eq!(logs, [0, 2, 0]);
}

/// "counted are names of @ and 24 or more characters, whatever follows".
fn counted_are_names_of_a_label_whatever_follows(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let label = "@400000000000000000000000";
    for name in ["a", ".s", ".u", "-mine", ""] {
        sandbox.write(format!("log/{label}{name}"), "old\n");
    }
    for name in ["@40000000000000000000000", "other", "A400000000000000000000000.s"] {
        sandbox.write(format!("log/{name}"), "not counted\n");
    }
    sandbox.run_fed("multilog", &["s4096", "n3", "./log"], lines(1, 100));
    let names = multilog::names(&sandbox, "log");
    let masked: Vec<_> = names.iter().filter(|name| !name.starts_with("@400000006")).collect();
    assert_eq!(
        masked,
        ["@40000000000000000000000", "A400000000000000000000000.s", "current", "lock", "other", "state"]
    );
    assert_eq!(names.len() - masked.len(), 2);
}

/// "A finished current above SIZE is rotated before the first write."
fn a_finished_current_that_is_too_large_is_rotated_first(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.run_fed("multilog", &["./log"], lines(1, 100));
    assert_eq!(sandbox.run_fed("multilog", &["s4096", "./log"], "new\n").told(), (0, "", ""));
    assert_eq!(listing(&sandbox, "log"), ["744 6300 @LABEL.s", "744 4 current", "600 0 lock", "644 0 state"]);
}

fn old_logs_are_called_by_the_time_they_were_finished(programs: Programs) {
    use unix::tai64n::Tai64n;
    let sandbox = Sandbox::with(programs);
    let before = Tai64n::now().to_bytes();
    sandbox.run_fed("multilog", &["s4096", "./log"], lines(1, 300));
    let label = |name: String| Tai64n::from_label(&name.as_bytes()[..25]).unwrap().to_bytes();
    let times: Vec<_> = old_logs(&sandbox, "log").into_iter().map(label).collect();
    assert!(times.len() > 2 && times.is_sorted() && before < times[0]);
    assert!(times[times.len() - 1] < Tai64n::now().to_bytes());
}
