//! Reading the scan directory: which service directories there are.

use crate::plan::{Id, Listed};
use servicedir::names;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a scan found.
#[derive(Default)]
pub struct Listing {
    /// The service directories, in the order of the directory.
    pub services: Vec<Listed>,
    /// What could not be looked at, and why.
    pub troubles: Vec<(OsString, io::Error)>,
    /// Whether there is a link: what it leads to can change without the scan directory's knowledge.
    pub links: bool,
}

/// Lists the working directory: every directory, or link to one, whose name has no leading dot and which is not to
/// be `passed_over`. Whether it has a log is looked at where it is not `known`.
///
/// # Errors
/// What reading the directory reports.
pub fn read(known: impl Fn(Id) -> bool, passed_over: impl Fn(&OsStr) -> bool) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(".")? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") || passed_over(&name) {
            continue;
        }
        listing.links |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
        match look(&entry, &name, &known) {
            Ok(Some(listed)) => listing.services.push(listed),
            Ok(None) => {}
            Err(trouble) => listing.troubles.push(trouble),
        }
    }
    Ok(listing)
}

fn look(
    entry: &DirEntry,
    name: &OsStr,
    known: impl Fn(Id) -> bool,
) -> Result<Option<Listed>, (OsString, io::Error)> {
    // What the directory itself calls a plain file needs no look.
    if entry.file_type().is_ok_and(|kind| kind.is_file()) {
        return Ok(None);
    }
    let meta = match fs::metadata(name) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => return Ok(None),
        Err(e) => return Err((name.to_owned(), e)),
    };
    let id = Id::of(&meta);
    let log = match known(id) {
        true => false,
        false => {
            has_log(Path::new(name)).map_err(|e| ([name, OsStr::new("/log")].into_iter().collect(), e))?
        }
    };
    Ok(Some(Listed { id, name: name.to_owned(), log }))
}

/// Whether the service has something called `log`.
///
/// # Errors
/// What looking at it reports, other than that it is not there.
pub fn has_log(name: &Path) -> io::Result<bool> {
    match fs::metadata(name.join(names::LOG)) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
