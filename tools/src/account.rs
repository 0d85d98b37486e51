//! An account by its name; a number is no name.

use crate::failure::Failure;
use nix::unistd::User;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Looks an account up.
///
/// # Errors
/// There is no such account; daemontools says so, too, when the name service fails.
pub fn find(name: &OsStr) -> Result<User, Failure> {
    let found = name.to_str().and_then(|name| User::from_name(name).ok().flatten());
    found.ok_or_else(|| Failure::Fatal([b"unknown account ", name.as_bytes()].concat(), None))
}
