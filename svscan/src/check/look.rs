//! Finding out the facts. Nothing is changed, and no lock is taken: a supervise that is just starting would miss it.

use super::facts::{Entry, Folder, Held, Kind, Log, Owner, Place, Program, Service, Supervise};
use crate::limits::word;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess, geteuid};
use servicedir::errand::Errand;
use servicedir::{client, holder, names};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use unix::process::{self, Looks, Pidfd};

/// So much of a file the kernel looks at to find out how to run it.
const HEAD: usize = 256;

/// All entries of a scan directory, by name.
///
/// # Errors
/// What reading it reports.
pub fn entries(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<OsString>>>()?;
    names.sort();
    let mut known = HashMap::new();
    Ok(names.into_iter().map(|name| Entry { kind: kind(dir, &name, &mut known), name }).collect())
}

fn kind(dir: &Path, name: &OsStr, known: &mut HashMap<(u64, u64), OsString>) -> Kind {
    if name.as_bytes().starts_with(b".") {
        return Kind::Hidden;
    }
    let path = dir.join(name);
    let meta = match fs::metadata(&path) {
        Ok(meta) if !meta.is_dir() => return Kind::NoDirectory,
        Ok(meta) => meta,
        Err(e) => return Kind::Lost(word(&e)),
    };
    if let Some(twin) = known.insert((meta.dev(), meta.ino()), name.to_owned()) {
        known.insert((meta.dev(), meta.ino()), twin.clone());
        return Kind::Twin(twin);
    }
    Kind::Service(Box::new(Service { main: place(&path, &meta), log: log(&path) }))
}

fn log(dir: &Path) -> Log {
    let path = dir.join(names::LOG);
    match fs::metadata(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Log::Absent,
        Err(e) => Log::Lost(word(&e)),
        Ok(meta) if !meta.is_dir() => Log::NoDirectory,
        Ok(meta) => Log::Place(Box::new(place(&path, &meta))),
    }
}

fn place(dir: &Path, meta: &Metadata) -> Place {
    let program = |file| program(dir, file);
    Place {
        owner: owner(meta),
        run: program(names::RUN),
        start: program(names::START),
        finish: program(names::FINISH),
        stop: program(names::STOP),
        down: match fs::metadata(dir.join(names::DOWN)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(word(&e)),
        },
        complaints: complaints(dir),
        folder: folder(dir),
        supervise: supervise(dir),
    }
}

fn owner(meta: &Metadata) -> Owner {
    let stranger = (meta.uid() != geteuid().as_raw()).then_some(meta.uid());
    Owner { stranger, open: meta.mode() & 0o022 != 0 }
}

/// Whether a file of a service directory, which is the working directory then, can be run.
fn program(dir: &Path, file: &str) -> Program {
    let path = dir.join(file);
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Program::Absent,
        Err(e) => return Program::Denied(word(&e)),
    };
    if !meta.is_file() {
        return Program::NoFile;
    }
    if meta.mode() & 0o111 == 0 {
        return Program::NotExecutable;
    }
    if let Err(errno) = eaccess(&path, AccessFlags::X_OK) {
        return Program::Denied(word(&errno.into()));
    }
    let mut head = vec![];
    // One that may be run and not be read says nothing about itself.
    if File::open(&path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head)).is_err()
        || head.starts_with(b"\x7fELF")
    {
        return Program::Fine;
    }
    let Some(interpreter) = interpreter(&head) else { return Program::Foreign };
    match runnable(&dir.join(OsStr::from_bytes(interpreter))) {
        Ok(()) => Program::Fine,
        Err(e) => Program::Interpreter(interpreter.to_vec(), word(&e)),
    }
}

/// The interpreter that a `#!` line names, as the kernel reads it (execve(2)).
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    line.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty())
}

fn runnable(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(Errno::EACCES.into());
    }
    Ok(eaccess(path, AccessFlags::X_OK)?)
}

/// Looks a program up as svscan does when it starts it.
///
/// # Errors
/// Why it cannot be run; ENOENT where it is nowhere.
pub fn program_on_path(name: &OsStr) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut trouble = Errno::ENOENT.into();
    for dir in std::env::split_paths(&path) {
        let candidate = dir.join(name);
        match runnable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => trouble = e,
        }
    }
    Err(trouble)
}

/// What `service-config`, which supervise asks as well, has to say of the settings.
fn complaints(dir: &Path) -> Vec<String> {
    if !names::SETTINGS.iter().any(|file| fs::symlink_metadata(dir.join(file)).is_ok()) {
        return vec![];
    }
    let helper = fs::read_link("/proc/self/exe").map(|myself| myself.with_file_name("service-config"));
    let said = helper.and_then(|helper| Command::new(helper).arg(dir).arg(".").output());
    match said {
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().map(complaint).collect(),
        Err(e) => vec![format!("service-config cannot be run: {}", word(&e))],
    }
}

/// A line of `service-config` about a service that is called `.`, without what the report says anyway.
fn complaint(line: &str) -> String {
    let line = line.strip_prefix("service-config: warning: ./").unwrap_or(line);
    line.rsplit_once(" (the service goes on").map_or(line, |(line, _)| line).to_owned()
}

fn folder(dir: &Path) -> Folder {
    let meta = match fs::metadata(dir.join(names::SUPERVISE)) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Folder::Absent,
        Err(e) => return Folder::Lost(word(&e)),
    };
    if !meta.is_dir() {
        return Folder::NoDirectory;
    }
    let held = |(name, fifo): (&'static str, bool)| {
        let meta = fs::symlink_metadata(dir.join(name)).ok()?;
        let kind_is_right = if fifo { meta.file_type().is_fifo() } else { meta.is_file() };
        Some(Held { name, kind_is_right, fifo, owner: owner(&meta) })
    };
    let files = [(names::LOCK, false), (names::CONTROL, true), (names::OK, true), (names::STATUS, false)];
    Folder::There {
        owner: owner(&meta),
        files: files.into_iter().filter_map(held).collect(),
        status: fs::metadata(dir.join(names::STATUS)).ok().map(|meta| meta.len()),
    }
}

fn supervise(dir: &Path) -> Option<Supervise> {
    // What is no FIFO could be opened by anybody at any time.
    let fifo = fs::metadata(dir.join(names::OK)).is_ok_and(|meta| meta.file_type().is_fifo());
    if !fifo || !client::is_running(dir).unwrap_or(false) {
        return None;
    }
    let known = holder::recorded(dir).filter(|who| Pidfd::of(who).is_ok());
    let pid = known.map(|who| who.pid);
    Some(Supervise {
        pid,
        paired: pid.and_then(|pid| Errand::of(pid).ok()?).map(|errand| errand.pipe.is_some()),
    })
}

/// The pid of a svscan, whosesoever, that works in this directory.
pub fn svscan_of(dir: &Path) -> Option<i32> {
    let here = fs::metadata(dir).ok()?;
    process::pids().ok()?.find(|pid| {
        *pid != nix::unistd::getpid().as_raw()
            && Looks::of(*pid).is_ok_and(|looks| looks.name == b"svscan")
            && fs::metadata(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (here.dev(), here.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_read_as_the_kernel_reads_it() {
        for (head, expected) in [
            ("#!/bin/sh\necho", Some("/bin/sh")),
            ("#! \t/bin/sh -e\n", Some("/bin/sh")),
            ("#!/bin/sh", Some("/bin/sh")),
            ("#!/bin/sh\r\n", Some("/bin/sh\r")),
            ("#!sh\n", Some("sh")),
            ("#!\n/bin/sh\n", None),
            ("#!   \n", None),
            ("echo hello\n", None),
            ("", None),
        ] {
            assert_eq!(interpreter(head.as_bytes()), expected.map(str::as_bytes), "{head:?}");
        }
    }
}
