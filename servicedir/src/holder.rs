//! Who holds `supervise/lock`: the supervise writes itself into the file, so that a svscan that did not start it
//! can wait for its end and take the pipe of its log pair from it.
//!
//! Format: a line `PID START BOOT`: pid, start time in clock ticks since boot (decimal), boot id (32 hexadecimal
//! digits). From byte 128 on a status that could be written nowhere else. daemontools leaves the file empty. Both are
//! believed only where nobody else could have written them.

use crate::names;
use crate::status::Status;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use unix::fds::open_nonblocking;
use unix::process::Identity;

/// Writes this process into the lock file that it holds.
///
/// # Errors
/// What writing reports; the file then tells of nobody, or of a supervise that is gone.
pub fn record(lock: &File, own: &Identity) -> io::Result<()> {
    // Over the line that is there: a full disk has room for no other.
    lock.write_all_at(line(own).as_bytes(), 0)
}

/// Where a kept status begins; a line is shorter.
const STATUS_AT: u64 = 128;

/// Keeps a status in the lock file, which is open already and has a block on the disk: for one that can be written
/// nowhere else.
///
/// # Errors
/// What writing reports.
pub fn keep(lock: &File, status: &Status) -> io::Result<()> {
    lock.write_all_at(&status.to_bytes(), STATUS_AT)
}

/// Whether a status is kept in the lock file.
pub fn keeps(lock: &File) -> bool {
    lock.metadata().is_ok_and(|meta| meta.len() > STATUS_AT)
}

/// Takes the kept status out of the lock file: it is in its place.
///
/// # Errors
/// What truncating reports.
pub fn drop_kept(lock: &File) -> io::Result<()> {
    lock.set_len(STATUS_AT)
}

/// The status that is kept in the lock file of `dir`, as far as that is to be believed.
pub fn kept(dir: &Path) -> Option<Status> {
    let bytes = is_ours(dir, &[names::LOCK, names::SUPERVISE, "."]).then(|| content(dir).ok())??;
    Status::from_bytes(bytes.get(STATUS_AT as usize..)?)
}

/// The supervise that wrote itself into the lock file of `dir`, as far as that is to be believed. It may be
/// long gone: compare it with the process.
pub fn recorded(dir: &Path) -> Option<Identity> {
    is_ours(dir, &[".", names::SUPERVISE, names::LOCK]).then(|| content(dir).ok())?.and_then(|b| parse(&b))
}

/// The lock file of `dir`. Where somebody has put a FIFO there, nobody waits for it.
fn open(dir: &Path) -> io::Result<File> {
    open_nonblocking(&dir.join(names::LOCK), OFlag::O_RDONLY).map(File::from)
}

fn content(dir: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(dir)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether somebody holds the lock of `dir`. It is taken for a moment to find out: ask only where no supervise
/// of one's own is just starting.
pub fn is_held(dir: &Path) -> bool {
    let Ok(file) = open(dir) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

/// Whether all these files in `dir` belong to this process's user and nobody else may write them. Of a link (Debian's
/// packages have them) both must be ours: it and what it leads to.
pub fn is_ours(dir: &Path, files: &[&str]) -> bool {
    let me = nix::unistd::geteuid().as_raw();
    let ours = |meta: fs::Metadata| meta.uid() == me && (meta.is_symlink() || meta.mode() & 0o022 == 0);
    files
        .iter()
        .map(|file| dir.join(file))
        .all(|path| fs::symlink_metadata(&path).is_ok_and(ours) && fs::metadata(&path).is_ok_and(ours))
}

fn line(who: &Identity) -> String {
    let boot: String = who.boot_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {} {boot}\n", who.pid, who.start_time)
}

fn parse(bytes: &[u8]) -> Option<Identity> {
    // Behind it may be the rest of a longer one.
    let text =
        str::from_utf8(bytes.split_inclusive(|byte| *byte == b'\n').next()?).ok()?.strip_suffix('\n')?;
    let mut words = text.split(' ');
    let (pid, start_time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let digits = words.next().filter(|digits| digits.len() == 32 && digits.is_ascii())?;
    let mut boot_id = [0; 16];
    for (i, byte) in boot_id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()?;
    }
    (pid > 0 && words.next().is_none()).then_some(Identity { pid, start_time, boot_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    #[test]
    fn a_holder_survives_a_round_trip() {
        let who = Identity { pid: 42, start_time: 987_654_321, boot_id: *b"\x00\x01sixteen bytes\xff" };
        assert_eq!(parse(line(&who).as_bytes()), Some(who));
        assert_eq!(parse(format!("{}f\n", line(&who)).as_bytes()), Some(who));
    }

    /// A full disk: what is there can be overwritten, and nothing else be written.
    #[test]
    fn a_file_that_cannot_grow_tells_who_holds_it_all_the_same() {
        let lock = File::from(memfd_create(c"lock", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        let other = line(&Identity { pid: 1, ..Identity::own().unwrap() });
        lock.write_all_at(format!("{other}and much more\n").as_bytes(), 0).unwrap();
        fcntl(&lock, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
        record(&lock, &Identity::own().unwrap()).unwrap();
        let mut bytes = [0; 200];
        let length = lock.read_at(&mut bytes, 0).unwrap();
        assert_eq!(parse(&bytes[..length]), Some(Identity::own().unwrap()));
    }

    #[test]
    fn what_is_no_whole_line_is_nobody() {
        let whole = "42 7 000102030405060708090a0b0c0d0e0f\n";
        assert!(parse(whole.as_bytes()).is_some());
        for bad in [
            "",
            "\n",
            "42",
            &whole[..20],
            whole.trim_end(),
            &format!("-{whole}"),
            &format!("{}x\n", whole.trim_end()),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse("42 7 é00102030405060708090a0b0c0d0e0\n".as_bytes()), None);
    }
}
