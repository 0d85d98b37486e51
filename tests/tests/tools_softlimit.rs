//! softlimit: what each option limits, and how far.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::{Programs, Sandbox, on_both};
use tools::{Transcript, shell, transcripts};

on_both! {
    usage_and_trouble_are_told_as_daemontools_tells_them,
    each_option_limits_what_it_names,
    what_is_no_number_is_wrong_usage,
    more_than_the_hard_limit_is_the_hard_limit,
    of_an_option_given_twice_the_last_holds,
    m_is_d_s_l_and_a,
    a_child_that_cannot_be_run_is_named_under_any_limit,
    limits_do_what_they_say,
}

const USAGE: &str = "softlimit: usage: softlimit [-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] \
[-l lockbytes] [-m membytes] [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child\n";

fn usage_and_trouble_are_told_as_daemontools_tells_them(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let table: [(&str, &str); 9] = [
        ("softlimit", ""),
        ("softlimit -c 1", ""),
        ("softlimit -c", "softlimit: option requires an argument -- c\n"),
        ("softlimit -z true", "softlimit: illegal option -- z\n"),
        // The argument of -c is z.
        ("softlimit -cz true", ""),
        ("softlimit --", ""),
        // The first that is wrong is told.
        ("softlimit -c x -z", ""),
        ("softlimit -z -c x", "softlimit: illegal option -- z\n"),
        ("softlimit -c 1 -t", "softlimit: option requires an argument -- t\n"),
    ];
    for (line, first) in table {
        transcripts(&sandbox, &[(line, 100, "", &format!("{first}{USAGE}"))]);
    }
    sandbox.link("limit", sandbox.programs().path("softlimit"));
    let called = format!("limit: illegal option -- z\n{USAGE}");
    transcripts(
        &sandbox,
        &[
            // The option is told under the name the program was called by.
            ("./limit -z true", 100, "", &called),
            ("softlimit sh -c 'exit 7'", 7, "", ""),
            ("softlimit -- sh -c 'exit 7'", 7, "", ""),
            ("softlimit -c 0 -- echo -c 0", 0, "-c 0\n", ""),
        ],
    );
}

fn each_option_limits_what_it_names(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (option, name, number) in [
        ("a", "address space", 800_000_000),
        ("c", "core file size", 1000),
        ("d", "data size", 700_000_000),
        ("f", "file size", 5000),
        ("l", "locked memory", 4096),
        ("o", "open files", 33),
        ("p", "processes", 500),
        ("r", "resident set", 1000),
        ("s", "stack size", 1_000_000),
        ("t", "cpu time", 50),
    ] {
        for given in [format!("-{option} {number}"), format!("-{option}{number}")] {
            let line = format!("softlimit {given} grep '^Max {name} ' /proc/self/limits");
            let limits = shell(&sandbox, &line).good();
            let soft = limits.trim_start_matches(&format!("Max {name} ")).split_whitespace().next();
            assert_eq!(soft, Some(number.to_string().as_str()), "{line}");
        }
    }
}

fn what_is_no_number_is_wrong_usage(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for argument in ["abc", "12abc", "-1", "+5", "0x10", "' 5'", "=5", "5=", "5k", "1.5"] {
        transcripts(&sandbox, &[(&format!("softlimit -c {argument} true"), 100, "", USAGE)]);
    }
    // No digits at all are 0.
    transcripts(&sandbox, &[("softlimit -c '' sh -c 'ulimit -c'", 0, "0\n", "")]);
}

/// "`=` is the hard limit, more is cut to it".
fn more_than_the_hard_limit_is_the_hard_limit(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let with = |options: &str| {
        format!("ulimit -Sn 50; ulimit -Hn 100; softlimit {options} sh -c 'ulimit -Sn; ulimit -Hn'")
    };
    for (options, soft) in [
        ("", 50),
        ("-o 70", 70),
        ("-o 30", 30),
        ("-o =", 100),
        ("-o=", 100),
        ("-o 200", 100),
        ("-o 18446744073709551615", 100),
        ("-o 070", 70),
    ] {
        transcripts(&sandbox, &[(&with(options), 0, &format!("{soft}\n100\n"), "")]);
    }
}

fn of_an_option_given_twice_the_last_holds(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (options, soft) in [("-c 100 -c 2048", "4"), ("-c 2048 -c 512", "1"), ("-c 512 -c =", "unlimited")] {
        // The shell counts in blocks of 512 bytes.
        let line = format!("softlimit {options} sh -c 'ulimit -c'");
        transcripts(&sandbox, &[(&line, 0, &format!("{soft}\n"), "")]);
    }
}

/// "-m is d s l a".
fn m_is_d_s_l_and_a(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let limits = "sh -c 'ulimit -d; ulimit -s; ulimit -l; ulimit -v'";
    let table: [(&str, &str); 5] = [
        ("-m 204800000", "200000 200000 LOCKED 200000"),
        ("-m 204800000 -s 1024000", "200000 1000 LOCKED 200000"),
        ("-s 1024000 -m 204800000", "200000 200000 LOCKED 200000"),
        ("-m 204800000 -l 2048", "200000 200000 2 200000"),
        ("-m 204800000 -m =", "unlimited unlimited LOCKED unlimited"),
    ];
    // The hard limit of locked memory is small; the others' must not be.
    let locked = shell(&sandbox, "ulimit -H -l").good();
    if shell(&sandbox, "ulimit -Hd; ulimit -Hs; ulimit -Hv").good() != "unlimited\nunlimited\nunlimited\n" {
        eprintln!("memory has hard limits here: -m cannot be tried");
        return;
    }
    for (options, expected) in table {
        let expected =
            expected.replace("LOCKED", at_most(locked.trim(), "200000", options)).replace(' ', "\n") + "\n";
        transcripts(&sandbox, &[(&format!("softlimit {options} {limits}"), 0, &expected, "")]);
    }
}

/// The wanted limit, or the hard one where that is less.
fn at_most<'a>(hard: &'a str, wanted: &'a str, options: &str) -> &'a str {
    let less = |hard: u64| hard < wanted.parse().unwrap();
    if options.ends_with('=') || hard.parse().is_ok_and(less) { hard } else { wanted }
}

/// Limits hold for softlimit itself, too, from the moment it has set them.
fn a_child_that_cannot_be_run_is_named_under_any_limit(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let said = "softlimit: fatal: unable to run nowhere: file does not exist\n";
    let table: Vec<_> = ["-a 0", "-d 0", "-m 0", "-m 100", "-s 0", "-o 0", "-p 0", "-l 0", "-r 0"]
        .map(|options| format!("softlimit {options} nowhere"))
        .into_iter()
        .collect();
    let table: Vec<Transcript> = table.iter().map(|line| (line.as_str(), 111, "", said)).collect();
    transcripts(&sandbox, &table);
}

fn limits_do_what_they_say(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let written = sandbox.run("softlimit", &["-f", "0", "sh", "-c", "echo a >file"]);
    assert_eq!(written.signal.or(written.code.map(|code| code - 128)), Some(25), "SIGXFSZ: {written:?}");
    let spinning = sandbox.run("softlimit", &["-t", "1", "sh", "-c", "while :; do :; done"]);
    assert_eq!(spinning.signal, Some(24), "SIGXCPU: {spinning:?}");
    let opening = shell(&sandbox, "softlimit -o 4 sh -c 'exec 3</dev/null 4</dev/null'");
    assert!(
        opening.err.contains("Too many open files") || opening.err.contains("Bad file descriptor"),
        "{opening:?}"
    );
}

/// Ours alone: 0.76 counts modulo 2^64, and makes 0 of 2^64.
#[test]
fn ours_cuts_a_number_beyond_64_bits_to_the_hard_limit() {
    let sandbox = Sandbox::new();
    for number in ["18446744073709551616", "18446744073709551626", "99999999999999999999999999"] {
        let line = format!("ulimit -Sn 50; ulimit -Hn 100; softlimit -o {number} sh -c 'ulimit -Sn'");
        transcripts(&sandbox, &[(&line, 0, "100\n", "")]);
    }
}
