//! Reading the scan directory: which service directories there are.

use crate::plan::{Id, Listed};
use servicedir::names;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a scan found, and the entries that could not be looked at.
pub struct Listing {
    /// The service directories, in the order of the directory.
    pub services: Vec<Listed>,
    /// Names that could not be looked at, and why.
    pub troubles: Vec<(OsString, io::Error)>,
}

/// Lists the working directory: every directory, or link to one, whose name has no leading dot.
///
/// # Errors
/// What reading the directory reports.
pub fn read() -> io::Result<Listing> {
    let mut listing = Listing { services: vec![], troubles: vec![] };
    for entry in fs::read_dir(".")? {
        let name = entry?.file_name();
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        match fs::metadata(&name) {
            Ok(meta) if meta.is_dir() => {
                let id = Id { device: meta.dev(), inode: meta.ino() };
                listing.services.push(Listed { id, name });
            }
            Ok(_) => {}
            Err(error) => listing.troubles.push((name, error)),
        }
    }
    Ok(listing)
}

/// Whether the service has something called `log`, which is looked at once, when it is first seen.
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
