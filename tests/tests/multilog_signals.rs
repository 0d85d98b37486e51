//! multilog and signals, processors, and disks that are full.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use multilog::{all_text, lines, listing, names, old_logs};
use std::io::Write;
use tests::process::is_at_rest;
use tests::{Programs, Running, Sandbox, on_both};
use unix::process::Signal;

on_both! {
    term_reads_to_the_end_of_the_line_and_leaves_the_rest_in_the_pipe,
    term_within_a_long_line_waits_for_its_end,
    term_between_two_lines_ends_it_at_once,
    alrm_rotates_what_is_not_empty,
    alrm_cuts_at_a_line_end,
    alrm_rotates_what_was_written_before_it_though_not_yet_read,
    term_while_the_directories_are_opened_is_not_the_end_at_once,
    a_processor_replaces_what_was_finished,
    a_processor_has_a_state_that_goes_from_one_run_to_the_next,
    a_processor_works_in_the_log_directory,
    fault_processor_that_fails_is_tried_again,
    fault_disk_full_multilog_drops_no_line,
}

/// "TERM: read to the end of the current line, flush, fsync, exit 0."
fn term_reads_to_the_end_of_the_line_and_leaves_the_rest_in_the_pipe(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\nhalf");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGTERM);
    waits(&sandbox, &multilog);
    assert!(multilog.runs(), "it waits for the end of the line");
    multilog.feed(" a line\nnot read\n");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(sandbox.read("log/current"), "one\nhalf a line\n");
    assert_eq!(listing(&sandbox, "log")[0], "744 16 current");
}

/// "TERM: … byte by byte to the line end: begin no big read after TERM": also where the line is longer than any buffer,
/// and what follows it stays for the next multilog.
fn term_within_a_long_line_waits_for_its_end(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let start = |log: &str| {
        let mut command = sandbox.command("multilog", &["s16777215", log]);
        command.stdin(reader.try_clone().unwrap());
        sandbox.spawn(command)
    };
    let mut multilog = start("./log");
    let part = "x".repeat(300_000);
    writer.write_all(part.as_bytes()).unwrap();
    // What came last may wait in memory for the end of its line.
    sandbox.wait_until("the pipe is empty", || unread(&reader) == 0);
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGTERM);
    waits(&sandbox, &multilog);
    assert!(multilog.runs(), "it waits for the end of the line");
    writer.write_all(b"yyy\nnext\n").unwrap();
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert!(sandbox.read("log/current") == format!("{part}yyy\n"));
    let mut next = start("./next");
    drop(writer);
    assert_eq!(next.finish().told(), (0, "", ""));
    assert_eq!(sandbox.read("next/current"), "next\n");
}

fn term_between_two_lines_ends_it_at_once(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\ntwo\n");
    sandbox.wait_until("the lines are written", || sandbox.read("log/current") == "one\ntwo\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGTERM);
    // Its standard input stays open.
    sandbox.wait_until("it has ended", || !multilog.runs());
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(listing(&sandbox, "log"), ["744 8 current", "600 0 lock", "644 0 state"]);
}

/// "ALRM: rotate now if not empty."
fn alrm_rotates_what_is_not_empty(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGALRM);
    sandbox
        .wait_until("it has rotated", || listing(&sandbox, "log")[0] == "744 4 @LABEL.s" && empty(&sandbox));
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGALRM);
    waits(&sandbox, &multilog);
    multilog.feed("two\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "two\n");
    assert_eq!(old_logs(&sandbox, "log").len(), 1, "an empty one is not rotated");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(all_text(&sandbox, "log"), "one\ntwo\n");
}

/// Waits until it waits for input, and has taken what signals it was sent: only then is it told apart what comes before a
/// signal and what after, and Debian's looks whether one came before it waits, not while it begins to.
fn waits(sandbox: &Sandbox, multilog: &Running) {
    sandbox.wait_until("multilog waits for more", || is_at_rest(multilog.pid()));
}

fn empty(sandbox: &Sandbox) -> bool {
    sandbox.has("log/current") && sandbox.read("log/current").is_empty()
}

/// "ALRM cuts at a line end."
fn alrm_cuts_at_a_line_end(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let mut multilog = sandbox.start_fed("multilog", &["./log"]);
    multilog.feed("one\nhalf");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGALRM);
    waits(&sandbox, &multilog);
    multilog.feed(" a line\n");
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(all_text(&sandbox, "log"), "one\nhalf a line\n");
    for name in old_logs(&sandbox, "log") {
        assert!(sandbox.read(format!("log/{name}")).ends_with('\n'), "{name}");
    }
}

/// A multilog that is busy when lines and then ALRM come rotates these lines, too.
fn alrm_rotates_what_was_written_before_it_though_not_yet_read(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let processor = "!while [ ! -e go ]; do sleep 0.02; done; cat";
    let mut multilog = sandbox.start_fed("multilog", &[processor, "./log"]);
    multilog.feed("one\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "one\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGALRM);
    sandbox.wait_until("the processor runs", || sandbox.has("log/processed"));
    multilog.feed("two\n");
    multilog.signal(Signal::SIGALRM);
    sandbox.write("log/go", "");
    sandbox.wait_until("it has rotated twice", || old_logs(&sandbox, "log").len() == 2 && empty(&sandbox));
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(all_text(&sandbox, "log"), "one\ntwo\n");
}

/// "TERM: … flush, fsync, exit 0", from the first moment on.
fn term_while_the_directories_are_opened_is_not_the_end_at_once(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let logs: Vec<_> = (0..200).map(|number| format!("./{number}")).collect();
    let logs: Vec<_> = logs.iter().map(String::as_str).collect();
    let mut multilog = sandbox.start_fed("multilog", &logs);
    while !sandbox.has("0") {
        std::thread::yield_now();
    }
    multilog.signal(Signal::SIGTERM);
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(listing(&sandbox, "199"), ["744 0 current", "600 0 lock", "644 0 state"]);
}

/// "the processor: `sh -c PROCESSOR` with fd 0 previous, 1 processed".
fn a_processor_replaces_what_was_finished(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let script = ["s4096", "n100", "!tr x y", "./log", "!", "s4096", "n100", "./plain"];
    let done = sandbox.run_fed("multilog", &script, lines(1, 500));
    assert_eq!(done.told(), (0, "", ""));
    let old: String =
        old_logs(&sandbox, "log").iter().map(|name| sandbox.read(format!("log/{name}"))).collect();
    assert!(!old.contains('x'));
    assert!(old.replace('y', "x") + &sandbox.read("log/current") == lines(1, 500));
    assert!(old_logs(&sandbox, "log").iter().all(|name| name.ends_with(".s")));
    assert_eq!(listing(&sandbox, "log").first().map(|line| &line[..4]), Some("744 "));
}

/// "4 state, 5 newstate …; newstate replaces state."
fn a_processor_has_a_state_that_goes_from_one_run_to_the_next(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let counting = "!read n <&4; echo \"run ${n:-0}\"; echo $((${n:-0} + 1)) >&5";
    let mut multilog = sandbox.start_fed("multilog", &[counting, "./log"]);
    for run in 1..=3 {
        multilog.feed("line\n");
        sandbox.wait_until("the line is written", || sandbox.read("log/current") == "line\n");
        waits(&sandbox, &multilog);
        multilog.signal(Signal::SIGALRM);
        let state = format!("{run}\n");
        sandbox.wait_until("the processor has run", || {
            sandbox.read("log/state") == state && empty(&sandbox) && old_logs(&sandbox, "log").len() == run
        });
    }
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(all_text(&sandbox, "log"), "run 0\nrun 1\nrun 2\n");
    assert_eq!(names(&sandbox, "log").len(), 3 + 3, "{:?}", names(&sandbox, "log"));
}

/// "processor: TERM and ALRM at default, working directory the log's"; "sh -c PROCESSOR".
fn a_processor_works_in_the_log_directory(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let processor = "!pwd -P; echo $0 $#; cat; grep SigIgn /proc/self/status >&5";
    let mut multilog = sandbox.start_fed("multilog", &[processor, "./log"]);
    multilog.feed("line\n");
    sandbox.wait_until("the line is written", || sandbox.read("log/current") == "line\n");
    waits(&sandbox, &multilog);
    multilog.signal(Signal::SIGALRM);
    sandbox.wait_until("the processor has run", || old_logs(&sandbox, "log").len() == 1);
    let expected = format!("{}\nsh 0\nline\n", sandbox.path("log").display());
    assert_eq!(multilog.finish().told(), (0, "", ""));
    assert_eq!(all_text(&sandbox, "log"), expected);
    let ignored = sandbox.read("log/state");
    let ignored = u64::from_str_radix(ignored.trim().trim_start_matches("SigIgn:\t"), 16).unwrap();
    let signals = [Signal::SIGPIPE, Signal::SIGALRM, Signal::SIGTERM];
    assert!(signals.iter().all(|signal| ignored & (1 << (*signal as u64 - 1)) == 0), "{ignored:x}");
}

/// "exit not 0: `multilog: warning: processor failed in DIR, pausing`, 5 s"; "repeated until it exits 0".
fn fault_processor_that_fails_is_tried_again(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let processor = "![ -e tried ] || { echo half; touch tried; exit 3; }; cat";
    let done = sandbox.run_fed("multilog", &["s4096", "n100", processor, "./log"], lines(1, 200));
    assert_eq!(done.told(), (0, "", "multilog: warning: processor failed in ./log, pausing\n"));
    sandbox.remove("log/tried");
    assert!(all_text(&sandbox, "log") == lines(1, 200));
}

/// "Any write trouble (full disk, …): a warning, wait 5 s, try again: nothing is dropped, the pipe fills and the
/// service blocks." The disk is a small tmpfs of its own, in a mount namespace.
fn fault_disk_full_multilog_drops_no_line(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("small");
    let mount = "mount -t tmpfs -o size=64k none small";
    if sandbox.run("unshare", &["-rm", "sh", "-c", mount]).code != Some(0) {
        eprintln!("no mount namespaces here: a full disk cannot be tried");
        return;
    }
    sandbox.write("input", lines(1, 2000));
    // 126,000 bytes do not fit beside the ballast; without it they do not fit either: the reader makes room.
    let script = format!(
        "{mount} && head -c 60000 /dev/zero >small/ballast
        mkfifo pipe; multilog s16777215 ./small/log <pipe & cat input >pipe
        wait; cp -r small/log log"
    );
    let mut shell = sandbox.start("unshare", &["-rm", "sh", "-c", &script]);
    shell.wait_until_it_says(
        "multilog: warning: unable to write to ./small/log/current, pausing: out of disk space\n",
    );
    let multilog = sandbox.wait_for("multilog runs", || {
        sandbox.leftovers().into_iter().find(|process| process.words.contains("multilog s16777215"))
    });
    // Through the namespace of multilog: more room, without the ballast.
    let more = format!("mount -o remount,size=1m {0} && rm {0}/ballast", sandbox.path("small").display());
    let target = format!("--target={}", multilog.pid);
    assert_eq!(
        sandbox
            .run("nsenter", &[&target, "--user", "--mount", "--preserve-credentials", "sh", "-c", &more])
            .told(),
        (0, "", "")
    );
    assert_eq!(shell.finish().code, Some(0));
    assert!(sandbox.read("log/current") == lines(1, 2000));
}

/// How many bytes wait in a pipe.
fn unread(pipe: &std::io::PipeReader) -> u32 {
    use std::os::fd::AsFd;
    let mut fds = [nix::poll::PollFd::new(pipe.as_fd(), nix::poll::PollFlags::POLLIN)];
    u32::from(nix::poll::poll(&mut fds, 0u8).unwrap() > 0)
}
