//! Usage, options and messages: word for word those of daemontools 0.76, with its exit codes.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use tests::service::Service;
use tests::{Programs, Sandbox, on_both};

on_both! {
    usage_and_trouble_are_told_as_daemontools_tells_them,
    a_status_that_cannot_be_replaced_is_named,
    svc_without_a_directory_does_nothing,
    svc_lists_its_options_when_one_is_unknown,
    svc_warns_and_goes_on_with_the_next_directory,
    svc_says_that_letters_could_not_be_written,
}

/// "Usage error 100 (`supervise: usage: supervise dir`). chdir to DIR (111 on failure)"; "Error words are
/// daemontools' own".
fn usage_and_trouble_are_told_as_daemontools_tells_them(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("file", "");
    sandbox.link("loop", "loop");
    sandbox.write("odd/supervise", "no directory");
    let long = "x".repeat(256);
    sandbox.folder("taken/supervise/lock");
    sandbox.folder("lost");
    sandbox.link("lost/supervise", "a/b/c");
    let table: [(&[&str], i32, &str); 15] = [
        (&["supervise"], 100, "supervise: usage: supervise dir\n"),
        (&["supervise", "a", "b"], 100, "supervise: usage: supervise dir\n"),
        (
            &["supervise", "nowhere"],
            111,
            "supervise: fatal: unable to chdir to nowhere: file does not exist\n",
        ),
        (&["supervise", "file"], 111, "supervise: fatal: unable to chdir to file: not a directory\n"),
        (&["supervise", "loop"], 111, "supervise: fatal: unable to chdir to loop: symbolic link loop\n"),
        (
            &["supervise", "taken"],
            111,
            "supervise: fatal: unable to acquire taken/supervise/lock: is a directory\n",
        ),
        (
            &["supervise", "lost"],
            111,
            "supervise: fatal: unable to acquire lost/supervise/lock: file does not exist\n",
        ),
        (&["svok"], 100, "svok: usage: svok dir\n"),
        (&["svok", "file"], 111, "svok: fatal: unable to chdir to file: not a directory\n"),
        (&["svstat"], 0, ""),
        (&["svscan", "nowhere"], 111, "svscan: fatal: unable to chdir to nowhere: file does not exist\n"),
        (&["svscan", "file"], 111, "svscan: fatal: unable to chdir to file: not a directory\n"),
        (
            &["setuidgid", "no-such-account", "true"],
            111,
            "setuidgid: fatal: unknown account no-such-account\n",
        ),
        (&["svc", "-u", "file"], 0, "svc: warning: unable to chdir to file: not a directory\n"),
        (&["svc", "-u", "odd"], 0, "svc: warning: unable to control odd: not a directory\n"),
    ];
    for (words, code, expected) in table {
        let done = sandbox.run(words[0], &words[1..]);
        assert_eq!(done.told(), (code, "", expected), "{words:?}");
    }
    let expected = format!("supervise: fatal: unable to chdir to {long}: file name too long\n");
    assert_eq!(sandbox.run("supervise", &[&long]).told(), (111, "", expected.as_str()));
    let expected = format!("{long}: unable to chdir: file name too long\n");
    assert_eq!(sandbox.run("svstat", &[&long]).told(), (0, expected.as_str(), ""));
}

/// `supervise/status` is a directory, or `status.new` is.
fn a_status_that_cannot_be_replaced_is_named(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for (name, taken, words) in [
        ("a", "status", "unable to rename a/supervise/status.new to status: is a directory"),
        ("b", "status.new", "unable to open b/supervise/status.new: is a directory"),
    ] {
        let service = Service::sleeper(&sandbox, name).down();
        sandbox.folder(format!("{name}/supervise/{taken}"));
        let mut supervise = sandbox.start("supervise", &[name]);
        supervise.wait_until_it_says(&format!("supervise: warning: {words}\n"));
        sandbox.wait_until("it hears", || service.is_supervised());
        service.svc("-x");
        assert_eq!(supervise.finish().code, Some(0));
    }
}

/// "svc and svstat without a directory exit 0 silently."
fn svc_without_a_directory_does_nothing(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for options in [&[][..], &["-u"], &["-dx"], &["--"], &["-u", "--nonsense"]] {
        assert_eq!(sandbox.run("svc", options).told(), (0, "", ""), "{options:?}");
    }
}

/// "an unknown one prints `NAME: illegal option -- z` and then the options line (0.76's words first, ours after
/// them)"; exit 100.
fn svc_lists_its_options_when_one_is_unknown(programs: Programs) {
    let ours = programs.are_ours();
    let sandbox = Sandbox::with(programs);
    let options = "svc options: u up, d down, o once, x exit, p pause, c continue, h hup, a alarm, i interrupt, t term, k kill";
    for arguments in [&["-z", "s"][..], &["-uz", "s"], &["-u", "-z"]] {
        let done = sandbox.run("svc", arguments);
        assert_eq!((done.code, done.out.as_str()), (Some(100), ""), "{arguments:?}");
        let (first, second) = done.err.split_once('\n').unwrap();
        assert_eq!(first, "svc: illegal option -- z");
        let more = second.strip_prefix(options).unwrap_or_else(|| panic!("{second}"));
        assert!(if ours { more == "\n" || more.starts_with(", ") } else { more == "\n" }, "{more}");
    }
}

/// "`svc: warning: unable to control DIR: supervise not running` (ENXIO), `unable to chdir to DIR: …`; exit 0 in
/// any case except usage".
fn svc_warns_and_goes_on_with_the_next_directory(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let ended = Service::sleeper(&sandbox, "ended");
    let mut supervise = ended.supervise();
    ended.svc("-dx");
    supervise.finish();
    sandbox.folder("never");
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    service.wait_until_up();
    let expected = "svc: warning: unable to control ended: supervise not running
svc: warning: unable to control never: file does not exist
svc: warning: unable to chdir to nowhere: file does not exist
";
    let done = sandbox.run("svc", &["-p", "ended", "never", "nowhere", "s"]);
    assert_eq!(done.told(), (0, "", expected));
    service.wait_until_svstat("up (pid PID) N seconds, paused");
}

/// In daemontools' words; "exit 0 in any case except usage".
fn svc_says_that_letters_could_not_be_written(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.folder("full/supervise");
    sandbox.link("full/supervise/control", "/dev/full");
    let expected = "svc: warning: error writing commands to full: out of disk space\n";
    assert_eq!(sandbox.run("svc", &["-u", "full"]).told(), (0, "", expected));
}
