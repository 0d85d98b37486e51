//! tai64n and tai64nlocal: labels before lines, and their time of day.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use std::fs;
use std::time::SystemTime;
use tests::{Programs, Sandbox, mask, on_both};
use tools::transcripts;
use unix::tai64n::Tai64n;

on_both! {
    each_line_gets_a_label_and_no_newline_is_added,
    a_label_is_the_time_of_the_lines_first_byte,
    a_piece_of_a_line_is_written_at_once,
    a_label_becomes_the_local_time,
    what_does_not_begin_with_a_label_goes_through,
    tz_says_where_we_are,
    years_are_as_long_as_they_are,
    trouble_is_silent_and_111,
    arguments_are_passed_over,
    long_lines_and_much_input_go_through,
}

fn each_line_gets_a_label_and_no_newline_is_added(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (input, output) in [
        ("", ""),
        ("a\n", "@LABEL a\n"),
        ("a\nb\n", "@LABEL a\n@LABEL b\n"),
        ("a\nb", "@LABEL a\n@LABEL b"),
        ("\n\n", "@LABEL \n@LABEL \n"),
        ("nul \0\0\n", "@LABEL nul \0\0\n"),
        (" blanks \t\r\n", "@LABEL  blanks \t\r\n"),
        ("@4000 x\n", "@LABEL @4000 x\n"),
    ] {
        let done = sandbox.run_fed("tai64n", &[], input);
        assert_eq!(
            (done.code, mask::labels(&done.out).as_str(), done.err.as_str()),
            (Some(0), output, ""),
            "{input:?}"
        );
    }
}

fn a_label_is_the_time_of_the_lines_first_byte(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut tai64n = sandbox.start_fed("tai64n", &[]);
    let before = SystemTime::now();
    tai64n.feed("first");
    tai64n.wait_until_it_says(" first");
    let after = SystemTime::now();
    tai64n.feed(" and more\nsecond\n");
    let said = tai64n.finish().good();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].ends_with(" first and more") && lines[1].ends_with(" second"), "{said}");
    let times =
        [0, 1].map(|line| Tai64n::from_label(lines[line].as_bytes()).unwrap().to_system_time().unwrap());
    // daemontools counts in microseconds, and adds half of one.
    let slack = std::time::Duration::from_micros(1);
    assert!(before - slack <= times[0] && times[0] <= after + slack && times[0] <= times[1]);
}

fn a_piece_of_a_line_is_written_at_once(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (program, piece, masked) in [
        ("tai64n", "piece", "@LABEL piece"),
        ("tai64nlocal", "piece", "piece"),
        ("tai64nlocal", "@400000006553f10a075bcd15 x", "2023-11-14 22:13:20.123456789 x"),
    ] {
        sandbox.set("TZ", "UTC");
        let mut running = sandbox.start_fed(program, &[]);
        running.feed(piece);
        sandbox.wait_until("the piece is there", || mask::labels(&running.out()) == masked);
        running.finish();
    }
}

/// "`YYYY-MM-DD HH:MM:SS.SSSSSSSSS`": the manual's example, and the edges.
fn a_label_becomes_the_local_time(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.set("TZ", "UTC");
    for (line, time) in [
        ("@400000006553f10a075bcd15 foo\n", "2023-11-14 22:13:20.123456789 foo\n"),
        ("@400000006553f10a075bcd15\n", "2023-11-14 22:13:20.123456789\n"),
        ("@400000006553f10a075bcd15x\n", "2023-11-14 22:13:20.123456789x\n"),
        ("@400000006553f10a075bcd15 no newline", "2023-11-14 22:13:20.123456789 no newline"),
        ("@400000006553f10a00000000 \0\n", "2023-11-14 22:13:20.000000000 \0\n"),
        ("@400000006553f10a00000001:\n", "2023-11-14 22:13:20.000000001:\n"),
        ("@400000006553f10a3b9ac9ff\n", "2023-11-14 22:13:20.999999999\n"),
        ("@400000006553f10a3b9aca00 beyond\n", "2023-11-14 22:13:20.1000000000 beyond\n"),
        ("@400000006553f10affffffff beyond\n", "2023-11-14 22:13:20.4294967295 beyond\n"),
        ("@400000000000000a00000000 epoch\n", "1970-01-01 00:00:00.000000000 epoch\n"),
        ("@400000000000000000000000 1970 TAI\n", "1969-12-31 23:59:50.000000000 1970 TAI\n"),
        ("@3fffffffffffffff00000000 before\n", "1969-12-31 23:59:49.000000000 before\n"),
        ("@40000000ffffffff00000000\n", "2106-02-07 06:28:05.000000000\n"),
        ("@400000010000000000000000\n", "2106-02-07 06:28:06.000000000\n"),
    ] {
        assert_eq!(sandbox.run_fed("tai64nlocal", &[], line).told(), (0, time, ""), "{line}");
    }
}

fn what_does_not_begin_with_a_label_goes_through(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for line in [
        "",
        "\n",
        "\n\n\n",
        "a\n",
        "a",
        " @400000006553f10a075bcd15 x\n",
        "x @400000006553f10a075bcd15\n",
        "\0\n",
    ] {
        assert_eq!(sandbox.run_fed("tai64nlocal", &[], line).told(), (0, line, ""), "{line:?}");
    }
    let lines = "@400000006553f10a00000000 @400000006553f10a00000000\n\n@400000006553f10a00000000\n\n";
    sandbox.set("TZ", "UTC");
    let said = "2023-11-14 22:13:20.000000000 @400000006553f10a00000000\n\n2023-11-14 22:13:20.000000000\n\n";
    assert_eq!(sandbox.run_fed("tai64nlocal", &[], lines).told(), (0, said, ""));
}

fn tz_says_where_we_are(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (zone, time) in [
        ("America/New_York", "1999-08-24 00:04:05.787492500"),
        ("Asia/Kathmandu", "1999-08-24 09:49:05.787492500"),
        ("EST5EDT", "1999-08-24 00:04:05.787492500"),
        ("<+03>-3", "1999-08-24 07:04:05.787492500"),
        (":Europe/Berlin", "1999-08-24 06:04:05.787492500"),
        ("No/Such_Zone", "1999-08-24 04:04:05.787492500"),
        ("", "1999-08-24 04:04:05.787492500"),
    ] {
        if zone.contains('/')
            && zone != "No/Such_Zone"
            && !fs::exists("/usr/share/zoneinfo/Europe/Berlin").unwrap()
        {
            continue; // the machine knows no places
        }
        sandbox.set("TZ", zone);
        let said = sandbox.run_fed("tai64nlocal", &[], "@4000000037c219bf2ef02e94 mark\n");
        assert_eq!(said.told(), (0, format!("{time} mark\n").as_str(), ""), "{zone}");
    }
}

fn years_are_as_long_as_they_are(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.set("TZ", "UTC");
    for (label, time) in [
        ("@4000003afff4418900000000", "9999-12-31 23:59:59.000000000"),
        ("@4000003afff4418a00000000", "10000-01-01 00:00:00.000000000"),
        ("@40d529ae9e86000a00000000", "1901326280-05-29 10:40:00.000000000"),
        ("@3ffffff1868b840a00000000", "0-01-01 00:00:00.000000000"),
    ] {
        let said = sandbox.run_fed("tai64nlocal", &[], format!("{label}\n"));
        assert_eq!(said.told(), (0, format!("{time}\n").as_str(), ""), "{label}");
    }
}

/// "It exits 111 without an error message if it has trouble reading stdin or writing stdout."
fn trouble_is_silent_and_111(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.set("TZ", "UTC");
    for program in ["tai64n", "tai64nlocal"] {
        for line in ["<&-", "</", "</dev/zero >/dev/full", ">&- </etc/passwd"] {
            transcripts(&sandbox, &[(&format!("{program} {line}"), 111, "", "")]);
        }
        transcripts(&sandbox, &[(&format!("{program} >&- </dev/null"), 0, "", "")]);
        // A reader that has gone ends it by SIGPIPE, as any filter.
        let line = format!("(sleep 0.2; yes | {program}; echo $? >code) | :; sleep 0.1");
        tools::shell(&sandbox, &line);
        sandbox.wait_until("the filter has ended", || !sandbox.read("code").is_empty());
        assert_eq!(sandbox.read("code"), "141\n", "{program}");
        sandbox.remove("code");
    }
}

fn arguments_are_passed_over(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    transcripts(
        &sandbox,
        &[
            ("echo x | tai64n -z y | cut -c 26-", 0, " x\n", ""),
            ("echo x | tai64nlocal --help", 0, "x\n", ""),
        ],
    );
}

fn long_lines_and_much_input_go_through(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.set("TZ", "UTC");
    let long = format!("{}\n", "x".repeat(300_000));
    let done = sandbox.run_fed("tai64n", &[], &long);
    assert!(mask::labels(&done.out) == format!("@LABEL {long}"));
    assert!(sandbox.run_fed("tai64nlocal", &[], &long).out == long);
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let labelled = sandbox.run_fed("tai64n", &[], &lines).good();
    let without: String = labelled.lines().map(|line| format!("{}\n", &line[26..])).collect();
    assert!(without == lines, "every line has its label and nothing else");
    let local = sandbox.run_fed("tai64nlocal", &[], &labelled).good();
    let without: String = local.lines().map(|line| format!("{}\n", &line[30..])).collect();
    assert!(without == lines, "every label has become a time");
}

/// Ours alone: 0.76 crashes, or swallows the label. "What is no label of 24 lower-case digits, or no possible time,
/// goes through unchanged."
#[test]
fn ours_lets_through_what_is_no_label_or_no_time() {
    let sandbox = Sandbox::new();
    sandbox.set("TZ", "UTC");
    for line in [
        "@\n",
        "@",
        "@ x\n",
        "@@400000006553f10a075bcd15 x\n",
        "@4000 x\n",
        "@400000006553f10a\n",
        "@400000006553F10A075BCD15 upper case\n",
        "@400000006553f10a075bcdzz x\n",
        "@400000006553f10a075bcd1 23 digits\n",
        "@400000006553f10a075bcd155 25 digits\n",
        "@400000006553f10a075bcd15400000006553f10a075bcd15 48 digits\n",
        "@000000000000000000000000 no time\n",
        "@7fffffffffffffff00000000 no time\n",
        "@ffffffffffffffffffffffff no time\n",
        "@400000006553f10a075bcd1",
    ] {
        assert_eq!(sandbox.run_fed("tai64nlocal", &[], line).told(), (0, line, ""), "{line:?}");
    }
    let said = sandbox.run_fed("tai64nlocal", &[], "@400000006553f10a075bcd15");
    assert_eq!(said.told(), (0, "2023-11-14 22:13:20.123456789", ""), "a label at the very end");
}
