//! Becoming another user for good, and proving it.

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{
    Gid, Uid, User, getgroups, getresgid, getresuid, initgroups, setgid, setresgid, setresuid, setuid,
};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

/// Looks an account up by name.
///
/// # Errors
/// What the name service reports.
pub fn account(name: &str) -> io::Result<Option<User>> {
    Ok(User::from_name(name)?)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Becomes `user`: supplementary groups, gid, uid, in that order; then proves that nothing can be regained.
///
/// # Errors
/// What a call reports; `PermissionDenied` when root could be regained.
pub fn become_user(user: &User) -> io::Result<()> {
    let name = CString::new(user.name.as_str()).map_err(|_| io::Error::from(Errno::EINVAL))?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    prove(user)
}

fn prove(user: &User) -> io::Result<()> {
    let (uids, gids) = (getresuid()?, getresgid()?);
    let uid_holds = [uids.real, uids.effective, uids.saved].iter().all(|uid| *uid == user.uid);
    let gid_holds = [gids.real, gids.effective, gids.saved].iter().all(|gid| *gid == user.gid);
    let root = Uid::from_raw(0);
    let regained = !user.uid.is_root() && (setuid(root).is_ok() || setgid(Gid::from_raw(0)).is_ok());
    let in_roots_group = user.gid.as_raw() != 0 && getgroups()?.contains(&Gid::from_raw(0));
    if uid_holds && gid_holds && !regained && !in_roots_group {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "privileges could be regained"))
}

/// Keeps others of the same user from reading this process's memory and descriptors through /proc and ptrace.
/// Exec resets it.
///
/// # Errors
/// What `prctl` reports.
pub fn hide_memory() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// A file without a name that holds `content` and is inherited by the program executed next: how secrets
/// travel without environment or arguments.
///
/// # Errors
/// What making or writing it reports.
pub fn secret_file(content: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(c"settings", MFdFlags::empty())?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    Ok(file.into())
}
