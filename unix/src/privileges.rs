//! Becoming another user for good, and proving it.

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, User, getgroups, getresgid, getresuid, initgroups, setgid, setresgid, setresuid, setuid,
};
use std::ffi::CString;
use std::io;

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

/// Becomes `user`: supplementary groups, gid, uid, in that order, and without any capability; then proves that
/// nothing can be regained.
///
/// # Errors
/// What a call reports; `PermissionDenied` when root could be regained.
pub fn become_user(user: &User) -> io::Result<()> {
    let name = CString::new(user.name.as_str()).map_err(|_| io::Error::from(Errno::EINVAL))?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    if !user.uid.is_root() {
        drop_capabilities()?;
    }
    prove(user)
}

/// Gives up what the change of user leaves: the inheritable set, and with it the ambient one.
fn drop_capabilities() -> io::Result<()> {
    /// `struct __user_cap_header_struct` of linux/capability.h.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    // Twice effective, permitted, inheritable.
    let none = [0_u32; 6];
    // SAFETY: both point to memory of the size that version 3 asks for; capset writes at most the header's version.
    let r = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    Errno::result(r)?;
    Ok(())
}

/// The capability sets of this process that are not empty, as /proc tells them.
fn capabilities() -> io::Result<Vec<String>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let sets = status.lines().filter_map(|line| line.split_once(":\t"));
    let some = |(name, set): &(&str, &str)| {
        ["CapInh", "CapPrm", "CapEff", "CapAmb"].contains(name) && set.bytes().any(|digit| digit != b'0')
    };
    Ok(sets.filter(some).map(|(name, _)| name.to_owned()).collect())
}

/// From now on no program that is executed gains privileges, setuid or not.
///
/// # Errors
/// What `prctl` reports.
pub fn forbid_new() -> io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

fn prove(user: &User) -> io::Result<()> {
    let (uids, gids) = (getresuid()?, getresgid()?);
    let uid_holds = [uids.real, uids.effective, uids.saved].iter().all(|uid| *uid == user.uid);
    let gid_holds = [gids.real, gids.effective, gids.saved].iter().all(|gid| *gid == user.gid);
    let root = Uid::from_raw(0);
    let regained = !user.uid.is_root() && (setuid(root).is_ok() || setgid(Gid::from_raw(0)).is_ok());
    let in_roots_group = user.gid.as_raw() != 0 && getgroups()?.contains(&Gid::from_raw(0));
    let capable = !user.uid.is_root() && !capabilities()?.is_empty();
    if uid_holds && gid_holds && !regained && !in_roots_group && !capable {
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
