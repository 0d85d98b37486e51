//! One `local up` or `local down` at a time in a home.

use crate::say::say;
use crate::trouble::{Trouble, cannot};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::path::Path;

/// Waits for its turn and holds it until dropped (or the process ends).
///
/// # Errors
/// What opening or locking the file reports.
pub fn take(run: &Path) -> Result<Flock<File>, Trouble> {
    let path = run.join("lock");
    // One that is there can be locked on a read-only disk, too.
    let open = File::open(&path).or_else(|_| OpenOptions::new().append(true).create(true).open(&path));
    let file = open.map_err(cannot("open", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => {
            say!("waiting for another \"skynet local\" in this home to finish …");
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| cannot("lock", path.display())(e))
        }
        Err((_, e)) => Err(cannot("lock", path.display())(e)),
    }
}
