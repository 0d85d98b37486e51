//! `svscan --check`: "reports what it would do and what is wrong".
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use tests::Sandbox;
use tests::service::Service;

/// Runs `svscan --check scan`: exit code, and what it says below the first line.
fn check(sandbox: &Sandbox) -> (i32, String) {
    let done = sandbox.run("svscan", &["--check", "scan"]);
    assert_eq!(done.err, "");
    let (first, rest) = done.out.split_once('\n').unwrap();
    assert!(first.starts_with("scan: "), "{first}");
    (done.code.unwrap(), rest.to_owned())
}

#[test]
fn what_would_be_done_with_each_entry_is_said_and_nothing_is_changed() {
    let sandbox = Sandbox::new();
    let _pair = Service::sleeper(&sandbox, "scan/a").with_log("exec cat");
    let _down = Service::sleeper(&sandbox, "scan/b").down();
    Service::sleeper(&sandbox, "scan/.new-c");
    sandbox.write("scan/README", "");
    sandbox.link("scan/twin", "a");
    let before = fs::metadata(sandbox.path("scan/a")).unwrap().modified().unwrap();
    assert_eq!(
        check(&sandbox),
        (
            0,
            ".new-c: skipped (leading dot)\nREADME: skipped (no directory)\na: started, with a log pair\n\
             b: supervised and down (there is a file down)\ntwin: skipped (the same directory as a)\n0 wrong, 0 notes\n"
                .to_owned()
        )
    );
    assert_eq!(fs::metadata(sandbox.path("scan/a")).unwrap().modified().unwrap(), before);
    assert!(!sandbox.has("scan/a/supervise") && !sandbox.has("scan/a/log/supervise"));
}

/// "finish and start scripts …: the one difference that a plain daemontools directory can meet; `svscan --check` names
/// it", and each thing that keeps a service from running.
#[test]
fn what_is_wrong_is_named_with_the_entry() {
    let sandbox = Sandbox::new();
    sandbox.folder("scan/empty");
    Service::new(&sandbox, "scan/finish", "exec sleep 1000");
    sandbox.script("scan/finish/finish", "");
    Service::sleeper(&sandbox, "scan/interpreter").run("");
    sandbox.write("scan/interpreter/run", "#!/no/such/shell -e\n");
    fs::set_permissions(sandbox.path("scan/interpreter/run"), Permissions::from_mode(0o755)).unwrap();
    sandbox.link("scan/lost", "nowhere");
    Service::sleeper(&sandbox, "scan/loop");
    sandbox.link("scan/loop/log", "log");
    Service::sleeper(&sandbox, "scan/mode");
    fs::set_permissions(sandbox.path("scan/mode/run"), Permissions::from_mode(0o644)).unwrap();
    Service::sleeper(&sandbox, "scan/settings");
    sandbox.write("scan/settings/service.toml", "[stop]\ngrase = \"1s\"\n");
    Service::sleeper(&sandbox, "scan/text").run("");
    sandbox.write("scan/text/run", "exec sleep 1000\n");
    assert_eq!(
        check(&sandbox),
        (
            1,
            "empty: started\nempty: wrong: there is no run\n\
             finish: started\nfinish: note: finish runs each time run has ended (daemontools knows no such file)\n\
             interpreter: started\ninterpreter: wrong: run cannot be run: its interpreter /no/such/shell: file does not exist\n\
             loop: skipped, with its service\nloop: wrong: log cannot be looked at: symbolic link loop\n\
             lost: skipped\nlost: wrong: it cannot be looked at: file does not exist\n\
             mode: started\nmode: wrong: run is not executable (chmod +x run)\n\
             settings: started\nsettings: wrong: service.toml:2: unknown key \"stop.grase\" (did you mean \"stop.grace\"?)\n\
             text: started\ntext: wrong: run has no #! line and is no program of this machine: exec format error\n\
             7 wrong, 1 note\n"
                .to_owned()
        )
    );
}

/// "FIFOs replaced by files, wrong owners".
#[test]
fn supervises_files_are_looked_at() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    sandbox.write("scan/s/supervise/ok", "");
    fs::set_permissions(service.path("supervise"), Permissions::from_mode(0o777)).unwrap();
    let (code, said) = check(&sandbox);
    assert_eq!(code, 1);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[1].starts_with("s: wrong: others may write supervise: when supervise is killed"), "{said}");
    assert_eq!(lines[2], "s: wrong: supervise/ok is not a FIFO (remove it, and supervise makes one)");
    fs::remove_dir_all(service.path("supervise")).unwrap();
    sandbox.write("scan/s/supervise", "");
    let expected = "s: started\ns: wrong: supervise is no directory (remove it, and supervise makes one)\n1 wrong, 0 notes\n";
    assert_eq!(check(&sandbox), (1, expected.to_owned()));
}

/// "a running svscan/supervise or none"; "that a log/ which appeared later needs the service removed and added".
#[test]
fn what_runs_is_said_and_a_log_that_came_later_is_named() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let pair = Service::sleeper(&sandbox, "scan/pair").with_log("exec cat");
    let svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_up();
    pair.wait_until_up();
    Service::empty(&sandbox, "scan/pair/log").wait_until_up();
    let pid = |dir: &str| servicedir::holder::recorded(&sandbox.path(dir)).unwrap().pid;
    let runs = |s: &str| {
        format!(
            "pair: started, with a log pair; runs: supervise {}, log: supervise {}\ns: {s}; runs: supervise {}\n",
            pid("scan/pair"),
            pid("scan/pair/log"),
            pid("scan/s")
        )
    };
    let done = sandbox.run("svscan", &["--check", "scan"]);
    let first = format!("scan: svscan runs here (pid {}), 2 services\n", svscan.pid());
    assert_eq!(done.told(), (0, format!("{first}{}0 wrong, 0 notes\n", runs("started")).as_str(), ""));

    sandbox.script("scan/s/.log/run", "exec cat");
    fs::rename(sandbox.path("scan/s/.log"), sandbox.path("scan/s/log")).unwrap();
    let late = "s: wrong: log appeared after svscan had first seen the service and is not supervised (remove the service \
                and add it again)\n";
    let expected = format!("{}{late}1 wrong, 0 notes\n", runs("started, with a log pair"));
    assert_eq!(check(&sandbox), (1, expected));
}

/// "names with newline/non-UTF-8 (printed safely)".
#[test]
fn names_of_any_bytes_are_printed_on_one_line() {
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"a\nb\xff\x1b");
    Service::sleeper(&sandbox, std::path::Path::new("scan").join(name));
    assert_eq!(check(&sandbox), (0, "a\\nb\\xff\\u{1b}: started\n0 wrong, 0 notes\n".to_owned()));
}

#[test]
fn wrong_usage_trouble_and_a_path_without_supervise_are_told() {
    let sandbox = Sandbox::new();
    for (arguments, code, err) in [
        (&["--check", "a", "b"][..], 100, "svscan: usage: svscan [--check] [dir]\n"),
        (&["--check", "nowhere"], 111, "svscan: fatal: unable to chdir to nowhere: file does not exist\n"),
        // A directory may be called what it likes.
        (&["./--check"], 111, "svscan: fatal: unable to chdir to ./--check: file does not exist\n"),
    ] {
        assert_eq!(sandbox.run("svscan", arguments).told(), (code, "", err), "{arguments:?}");
    }
    assert!(sandbox.run("svscan", &["--help"]).good().contains("svscan --check [DIR]"));
    sandbox.folder("scan");
    sandbox.set("PATH", "/nowhere");
    let expected = "scan: no svscan runs here, 0 services\n\
                    scan: wrong: no supervise can be started: PATH has none that can be run (file does not exist)\n\
                    1 wrong, 0 notes\n";
    assert_eq!(sandbox.run("svscan", &["--check", "scan"]).told(), (1, expected, ""));
}
