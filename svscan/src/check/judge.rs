//! What follows from the facts: what svscan would do, and what is wrong. Pure.

use super::facts::{Entry, Folder, Held, Kind, Log, Owner, Place, Program, Service, Supervise};
use super::report::safe;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What is to be said of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub name: OsString,
    /// What svscan would do with it, and what it has done.
    pub fate: String,
    /// Whether it is a service.
    pub service: bool,
    /// What is to be known of it besides.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong, or that one might not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is wrong.
    pub wrong: bool,
    /// Whether it is about the logger.
    pub log: bool,
    /// What it is, in words.
    pub words: String,
}

fn wrong(words: impl Into<String>) -> Finding {
    Finding { wrong: true, log: false, words: words.into() }
}

fn note(words: impl Into<String>) -> Finding {
    Finding { wrong: false, log: false, words: words.into() }
}

/// svscan finds no program to start.
pub fn no_supervise(reason: &str) -> Finding {
    wrong(format!("no supervise can be started: PATH has none that can be run ({reason})"))
}

/// Judges an entry of the scan directory in which a svscan `runs` or not.
pub fn entry(entry: &Entry, runs: bool) -> Verdict {
    let skipped = |why: &str| (format!("skipped ({why})"), vec![]);
    let (fate, findings) = match &entry.kind {
        Kind::Hidden => skipped("leading dot"),
        Kind::NoDirectory => skipped("no directory"),
        Kind::Twin(twin) => skipped(&format!("the same directory as {}", named(twin))),
        Kind::Lost(why) => ("skipped".into(), vec![wrong(format!("it cannot be looked at: {why}"))]),
        Kind::Service(found) => match &found.log {
            Log::Lost(why) => {
                ("skipped, with its service".into(), vec![wrong(format!("log cannot be looked at: {why}"))])
            }
            _ => (fate(found), service(found, runs)),
        },
    };
    let service = matches!(entry.kind, Kind::Service(_));
    Verdict { name: entry.name.clone(), fate, service, findings }
}

fn named(name: &OsStr) -> String {
    safe(name.as_bytes())
}

fn fate(service: &Service) -> String {
    let pair = if service.log == Log::Absent { "" } else { ", with a log pair" };
    let start = match service.main.down {
        Ok(true) => "supervised and down (there is a file down)",
        _ => "started",
    };
    let runs = |part: Option<Supervise>| {
        part.map(|supervise| match supervise.pid {
            Some(pid) => format!("supervise {pid}"),
            None => "a supervise that does not say who it is".into(),
        })
    };
    let log = match &service.log {
        Log::Place(log) => runs(log.supervise).map(|words| format!("log: {words}")),
        _ => None,
    };
    let running: Vec<_> = runs(service.main.supervise).into_iter().chain(log).collect();
    let running = if running.is_empty() { String::new() } else { format!("; runs: {}", running.join(", ")) };
    format!("{start}{pair}{running}")
}

fn service(service: &Service, runs: bool) -> Vec<Finding> {
    let mut findings = place(&service.main);
    match (&service.log, service.main.supervise.and_then(|supervise| supervise.paired)) {
        (Log::Absent, Some(true)) => findings.push(wrong(
            "log is gone, which was there when svscan first saw the service: nobody reads what it writes, once its logger \
             has ended",
        )),
        (Log::Absent | Log::Place(_), Some(true) | None) | (Log::Absent, Some(false)) => {}
        (Log::Place(_) | Log::NoDirectory, Some(false)) => findings.push(wrong(
            "log appeared after svscan had first seen the service and is not supervised (remove the service and add it \
             again)",
        )),
        (Log::NoDirectory, _) => findings.push(wrong(
            "log is no directory: its supervise cannot start, and the service stands still once the pipe to it is full",
        )),
        // Judged before: it keeps the service out.
        (Log::Lost(_), _) => {}
    }
    if runs && service.main.supervise.is_none() {
        findings.push(note(
            "svscan runs, and no supervise does here (yet: after a change it may take 5 seconds)",
        ));
    }
    if let Log::Place(log) = &service.log {
        let mut of_log = place(log);
        if log.down == Ok(true) {
            of_log.push(note(
                "there is a file down: as long as it is down the service stands still once the pipe to it is full",
            ));
        }
        findings.extend(of_log.into_iter().map(|finding| Finding { log: true, ..finding }));
    }
    findings
}

/// What is to be said of a directory in which a supervise runs, or would.
fn place(place: &Place) -> Vec<Finding> {
    let mut findings = scripts(place);
    findings.extend(place.complaints.iter().map(wrong));
    if let Err(why) = &place.down {
        findings.push(wrong(format!("down cannot be looked at, and supervise gives up: {why}")));
    }
    // Those of root are no strangers to anybody.
    match place.owner {
        Owner { open: true, .. } => {
            findings.push(wrong(format!("others may write the directory{NOT_ADOPTED}")))
        }
        Owner { stranger: Some(uid), .. } if uid != 0 => {
            findings.push(note(format!("the directory belongs to user {uid}{NOT_ADOPTED}")));
        }
        Owner { .. } => {}
    }
    findings.extend(folder(&place.folder, place.supervise.is_some()));
    findings
}

const NOT_ADOPTED: &str =
    ": when supervise is killed its service is not taken over by the next one, which starts a second copy";

fn scripts(place: &Place) -> Vec<Finding> {
    let mut findings = vec![];
    let runs =
        |program: &Program| !matches!(program, Program::Absent | Program::NoFile | Program::NotExecutable);
    match (&place.run, runs(&place.start)) {
        (Program::Absent, true) => findings.push(note("there is no run: start is all that is run")),
        (Program::Absent, false) => findings.push(wrong("there is no run")),
        (run, _) => findings.extend(trouble("run", run).map(wrong)),
    }
    let extra = [
        ("start", &place.start, "runs before the first run"),
        ("finish", &place.finish, "runs each time run has ended"),
        (
            "stop",
            &place.stop,
            if runs(&place.finish) { "does not run: finish does" } else { "runs each time run has ended" },
        ),
    ];
    for (name, program, when) in extra {
        if runs(program) {
            findings.push(note(format!("{name} {when} (daemontools knows no such file)")));
            findings.extend(trouble(name, program).map(wrong));
        } else if *program == Program::NotExecutable {
            findings.push(note(format!("{name} does not run: it is not executable")));
        }
    }
    findings
}

/// Why a file cannot be run.
fn trouble(name: &str, program: &Program) -> Option<String> {
    Some(match program {
        Program::Fine => return None,
        Program::Absent => format!("there is no {name}"),
        Program::NoFile => format!("{name} is no file"),
        Program::NotExecutable => format!("{name} is not executable (chmod +x {name})"),
        Program::Denied(why) => {
            format!("{name} cannot be run by this user, or on this file system: {why}")
        }
        Program::Foreign => {
            format!("{name} has no #! line and is no program of this machine: exec format error")
        }
        Program::Interpreter(interpreter, why) => {
            let end = if interpreter.ends_with(b"\r") {
                " (its first line ends with a carriage return)"
            } else {
                ""
            };
            format!("{name} cannot be run: its interpreter {}: {why}{end}", safe(interpreter))
        }
    })
}

fn folder(folder: &Folder, supervised: bool) -> Vec<Finding> {
    let (owner, files, status) = match folder {
        Folder::Absent => return vec![],
        Folder::Lost(why) => return vec![wrong(format!("supervise cannot be looked at: {why}"))],
        Folder::NoDirectory => {
            return vec![wrong("supervise is no directory (remove it, and supervise makes one)")];
        }
        Folder::There { owner, files, status } => (owner, files, status),
    };
    let mut findings: Vec<_> = ownership("supervise", *owner).into_iter().collect();
    for Held { name, kind_is_right, fifo, owner } in files {
        let kind = if *fifo { "not a FIFO" } else { "not a plain file" };
        if *kind_is_right {
            findings.extend(ownership(name, *owner));
        } else {
            findings.push(wrong(format!("{name} is {kind} (remove it, and supervise makes one)")));
        }
    }
    match status {
        Some(bytes) if supervised && *bytes < servicedir::status::PLAIN as u64 => {
            findings.push(wrong(format!("supervise/status has {bytes} bytes, which is too short")));
        }
        None if supervised => findings.push(wrong("supervise/status is not there: it could not be written")),
        _ => {}
    }
    findings
}

/// Whoever else may write supervise's files could make it signal a stranger, so it takes nothing over there.
fn ownership(name: &str, owner: Owner) -> Option<Finding> {
    match owner {
        Owner { open: true, .. } => Some(wrong(format!("others may write {name}{NOT_ADOPTED}"))),
        Owner { stranger: Some(uid), .. } => {
            Some(wrong(format!("{name} belongs to user {uid}{NOT_ADOPTED}")))
        }
        Owner { .. } => None,
    }
}

#[cfg(test)]
mod tests;
