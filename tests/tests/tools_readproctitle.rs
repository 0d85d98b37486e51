//! readproctitle: the last bytes of its input in its own arguments, as ps(1) shows them.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use std::fs;
use tests::{Programs, Running, Sandbox, on_both};
use tools::transcripts;

on_both! {
    without_five_bytes_of_room_it_ends_in_silence_with_100,
    it_ends_in_silence_at_the_end_of_input,
    the_last_argument_shows_the_last_bytes_behind_three_dots,
    what_the_room_held_before_is_dots_and_other_arguments_stay,
    control_characters_are_shown_and_nul_is_left_out,
}

fn without_five_bytes_of_room_it_ends_in_silence_with_100(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for line in ["readproctitle", "readproctitle ....", "readproctitle a b c ....", "readproctitle ..... ''"]
    {
        transcripts(&sandbox, &[(line, 100, "", "")]);
    }
}

fn it_ends_in_silence_at_the_end_of_input(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    transcripts(
        &sandbox,
        &[
            ("readproctitle ..... </dev/null", 0, "", ""),
            ("echo hello | readproctitle a b .....", 0, "", ""),
            ("readproctitle ..... <&-", 111, "", ""),
            ("readproctitle ..... </", 111, "", ""),
        ],
    );
}

/// Its arguments, without its name; `|` stands between them.
fn arguments(running: &Running) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", running.pid())).unwrap();
    let all = String::from_utf8_lossy(&bytes).replace('\0', "|");
    all.split_once('|').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// Feeds the pieces one by one, and waits until the arguments are as told after each.
fn shows(sandbox: &Sandbox, words: &[&str], steps: &[(&[u8], &str)]) {
    let mut running = sandbox.start_fed("readproctitle", words);
    for (piece, expected) in steps {
        running.feed(piece);
        sandbox.wait_until(&format!("the arguments are {expected:?}"), || arguments(&running) == *expected);
    }
    assert_eq!(running.finish().told(), (0, "", ""));
}

/// "readproctitle reads data into the end of D, shifting D to the left to make room. … always leaves three dots at
/// the left of D"; the manual's example.
fn the_last_argument_shows_the_last_bytes_behind_three_dots(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    shows(
        &sandbox,
        &["io", "errors:", "...................."],
        &[
            (b"", "io|errors:|....................|"),
            (b"fatal error xyz\n", "io|errors:|....fatal error xyz\n|"),
            (b"warning abc", "io|errors:|...r xyz\nwarning abc|"),
            (b"\n", "io|errors:|... xyz\nwarning abc\n|"),
        ],
    );
    shows(&sandbox, &["....."], &[(b"a", "....a|"), (b"bcd", "...cd|"), (b"\n", "...d\n|")]);
    let much = format!("{}end", "x".repeat(10_000));
    shows(&sandbox, &["e:", "............"], &[(much.as_bytes(), "e:|...xxxxxxend|")]);
}

fn what_the_room_held_before_is_dots_and_other_arguments_stay(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    shows(
        &sandbox,
        &["stays", "....", "not dots"],
        &[(b"", "stays|....|........|"), (b"new", "stays|....|.....new|")],
    );
}

fn control_characters_are_shown_and_nul_is_left_out(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    shows(
        &sandbox,
        &["............"],
        &[
            (b"a\0\x01\x1b\0\t\r\x7f\n", ".....a\u{1}\u{1b}\t\r\u{7f}\n|"),
            (b"\0", ".....a\u{1}\u{1b}\t\r\u{7f}\n|"),
        ],
    );
}
