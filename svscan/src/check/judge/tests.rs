//! Facts and what is said of them, a row each.

use super::*;

const OURS: Owner = Owner { stranger: None, open: false };

fn fine() -> Place {
    Place {
        owner: OURS,
        run: Program::Fine,
        start: Program::Absent,
        finish: Program::Absent,
        stop: Program::Absent,
        down: Ok(false),
        complaints: vec![],
        folder: Folder::Absent,
        supervise: None,
    }
}

fn judged(main: Place, log: Log, runs: bool) -> Verdict {
    let kind = Kind::Service(Box::new(Service { main, log }));
    entry(&Entry { name: "s".into(), kind }, runs)
}

/// `wrong: words`, `note: words`, `log: wrong: words` …
fn told(verdict: &Verdict) -> Vec<String> {
    let line = |finding: &Finding| {
        let log = if finding.log { "log: " } else { "" };
        format!("{log}{}: {}", if finding.wrong { "wrong" } else { "note" }, finding.words)
    };
    verdict.findings.iter().map(line).collect()
}

#[test]
fn what_svscan_passes_over_is_said_with_the_reason() {
    for (kind, fate, findings) in [
        (Kind::Hidden, "skipped (leading dot)", &[][..]),
        (Kind::NoDirectory, "skipped (no directory)", &[]),
        (Kind::Twin("a\n".into()), "skipped (the same directory as a\\n)", &[]),
        (
            Kind::Lost("file does not exist".into()),
            "skipped",
            &["wrong: it cannot be looked at: file does not exist"],
        ),
    ] {
        let verdict = entry(&Entry { name: "s".into(), kind: kind.clone() }, false);
        assert_eq!((verdict.fate.as_str(), verdict.service), (fate, false), "{kind:?}");
        assert_eq!(told(&verdict), findings, "{kind:?}");
    }
}

#[test]
fn what_becomes_of_a_service_is_said() {
    let pair = || Log::Place(Box::new(fine()));
    let supervised = |pid| Place { supervise: Some(Supervise { pid, paired: None }), ..fine() };
    for (main, log, fate) in [
        (fine(), Log::Absent, "started"),
        (fine(), pair(), "started, with a log pair"),
        (Place { down: Ok(true), ..fine() }, Log::Absent, "supervised and down (there is a file down)"),
        (supervised(Some(7)), Log::Absent, "started; runs: supervise 7"),
        (
            supervised(None),
            Log::Place(Box::new(supervised(Some(8)))),
            "started, with a log pair; runs: a supervise that does not say who it is, log: supervise 8",
        ),
    ] {
        let verdict = judged(main, log, false);
        assert_eq!((verdict.fate.as_str(), verdict.findings), (fate, vec![]));
    }
    let verdict = judged(fine(), Log::Lost("symbolic link loop".into()), false);
    assert_eq!(verdict.fate, "skipped, with its service");
    assert_eq!(told(&verdict), ["wrong: log cannot be looked at: symbolic link loop"]);
}

#[test]
fn scripts_that_cannot_run_and_scripts_that_will_are_named() {
    let interpreter = |path: &[u8]| Program::Interpreter(path.to_vec(), "file does not exist".into());
    for (place, findings) in [
        (Place { run: Program::Absent, ..fine() }, &["wrong: there is no run"][..]),
        (Place { run: Program::NoFile, ..fine() }, &["wrong: run is no file"]),
        (Place { run: Program::NotExecutable, ..fine() }, &["wrong: run is not executable (chmod +x run)"]),
        (
            Place { run: Program::Denied("access denied".into()), ..fine() },
            &["wrong: run cannot be run by this user, or on this file system: access denied"],
        ),
        (
            Place { run: Program::Foreign, ..fine() },
            &["wrong: run has no #! line and is no program of this machine: exec format error"],
        ),
        (
            Place { run: interpreter(b"/bin/bsh"), ..fine() },
            &["wrong: run cannot be run: its interpreter /bin/bsh: file does not exist"],
        ),
        (
            Place { run: interpreter(b"/bin/sh\r"), ..fine() },
            &[
                "wrong: run cannot be run: its interpreter /bin/sh\\r: file does not exist (its first line ends with a carriage return)",
            ],
        ),
        (
            Place { run: Program::Absent, start: Program::Fine, ..fine() },
            &[
                "note: there is no run: start is all that is run",
                "note: start runs before the first run (daemontools knows no such file)",
            ],
        ),
        (
            Place { finish: Program::Fine, stop: Program::Fine, ..fine() },
            &[
                "note: finish runs each time run has ended (daemontools knows no such file)",
                "note: stop does not run: finish does (daemontools knows no such file)",
            ],
        ),
        (
            Place { stop: interpreter(b"/x"), finish: Program::NotExecutable, ..fine() },
            &[
                "note: finish does not run: it is not executable",
                "note: stop runs each time run has ended (daemontools knows no such file)",
                "wrong: stop cannot be run: its interpreter /x: file does not exist",
            ],
        ),
        (
            Place { complaints: vec!["service.toml:2: unknown key \"x\"".into()], ..fine() },
            &["wrong: service.toml:2: unknown key \"x\""],
        ),
        (
            Place { down: Err("symbolic link loop".into()), ..fine() },
            &["wrong: down cannot be looked at, and supervise gives up: symbolic link loop"],
        ),
    ] {
        assert_eq!(told(&judged(place.clone(), Log::Absent, false)), findings, "{place:?}");
    }
}

#[test]
fn files_of_supervise_that_are_not_as_they_must_be_are_named() {
    let there = |owner, files: &[Held], status| Folder::There { owner, files: files.to_vec(), status };
    let held = |name, kind_is_right, owner| Held { name, kind_is_right, fifo: name == "supervise/ok", owner };
    let (open, stranger) = (Owner { open: true, ..OURS }, Owner { stranger: Some(65534), ..OURS });
    let running = Some(Supervise { pid: None, paired: None });
    for (folder, supervise, finding) in [
        (Folder::Absent, None, None),
        (
            Folder::Lost("access denied".into()),
            None,
            Some("wrong: supervise cannot be looked at: access denied"),
        ),
        (
            Folder::NoDirectory,
            None,
            Some("wrong: supervise is no directory (remove it, and supervise makes one)"),
        ),
        (there(OURS, &[held("supervise/ok", true, OURS)], None), None, None),
        (there(open, &[], None), None, Some("wrong: others may write supervise: ")),
        (there(stranger, &[], None), None, Some("wrong: supervise belongs to user 65534: ")),
        (
            there(OURS, &[held("supervise/ok", false, OURS)], None),
            None,
            Some("wrong: supervise/ok is not a FIFO (remove it, and supervise makes one)"),
        ),
        (
            there(OURS, &[held("supervise/lock", false, OURS)], None),
            None,
            Some("wrong: supervise/lock is not a plain file (remove it, and supervise makes one)"),
        ),
        (
            there(OURS, &[held("supervise/status", true, stranger)], Some(18)),
            running,
            Some("wrong: supervise/status belongs to user 65534: "),
        ),
        (
            there(OURS, &[], Some(17)),
            running,
            Some("wrong: supervise/status has 17 bytes, which is too short"),
        ),
        (there(OURS, &[], Some(17)), None, None),
        (
            there(OURS, &[], None),
            running,
            Some("wrong: supervise/status is not there: it could not be written"),
        ),
    ] {
        let place = Place { folder, supervise, ..fine() };
        let told = told(&judged(place.clone(), Log::Absent, false));
        assert_eq!(told.len(), usize::from(finding.is_some()), "{place:?}: {told:?}");
        assert!(told.iter().zip(finding).all(|(line, start)| line.starts_with(start)), "{place:?}: {told:?}");
    }
}

#[test]
fn a_directory_that_others_may_write_is_wrong_and_one_of_another_user_is_noted() {
    for (owner, start) in [
        (Owner { stranger: None, open: true }, "wrong: others may write the directory: "),
        (Owner { stranger: Some(1000), open: true }, "wrong: others may write the directory: "),
        (Owner { stranger: Some(1000), open: false }, "note: the directory belongs to user 1000: "),
    ] {
        let told = told(&judged(Place { owner, ..fine() }, Log::Absent, false));
        assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
    }
}

#[test]
fn a_log_that_came_later_or_went_is_named() {
    let supervised = |paired| Place { supervise: Some(Supervise { pid: Some(7), paired }), ..fine() };
    let log = || Log::Place(Box::new(fine()));
    let later = "wrong: log appeared after svscan had first seen the service and is not supervised (remove the service and \
                 add it again)";
    let gone = "wrong: log is gone, which was there when svscan first saw the service: nobody reads what it writes, once \
                its logger has ended";
    let file = "wrong: log is no directory: its supervise cannot start, and the service stands still once the pipe to it is \
                full";
    for (main, log, findings) in [
        (supervised(Some(false)), log(), &[later][..]),
        (supervised(Some(false)), Log::NoDirectory, &[later]),
        (supervised(Some(false)), Log::Absent, &[]),
        (supervised(Some(true)), log(), &[]),
        (supervised(Some(true)), Log::Absent, &[gone]),
        (supervised(None), log(), &[]),
        (fine(), Log::NoDirectory, &[file]),
    ] {
        let verdict = judged(main, log, true);
        let told: Vec<_> =
            told(&verdict).into_iter().filter(|line| !line.starts_with("note: svscan runs")).collect();
        assert_eq!(told, findings, "{verdict:?}");
    }
}

#[test]
fn what_is_said_of_a_logger_says_so() {
    let log = Place { run: Program::Absent, down: Ok(true), ..fine() };
    let told = told(&judged(fine(), Log::Place(Box::new(log)), false));
    assert_eq!(told[0], "log: wrong: there is no run");
    assert!(told[1].starts_with("log: note: there is a file down: "), "{told:?}");
}

#[test]
fn a_service_that_a_running_svscan_does_not_supervise_is_noted() {
    for (place, runs, expected) in [
        (fine(), true, 1),
        (fine(), false, 0),
        (Place { supervise: Some(Supervise { pid: None, paired: None }), ..fine() }, true, 0),
    ] {
        assert_eq!(judged(place, Log::Absent, runs).findings.len(), expected);
    }
}
