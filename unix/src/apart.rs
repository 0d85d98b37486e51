//! A thread whose umask and working directory are its own, whatever the rest of the process does to theirs.

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use std::io;

/// Gives this thread, and those that it will start, an umask and a working directory of their own: from here on
/// `mask`, and the present directory.
///
/// # Errors
/// What `unshare` reports: containers may forbid it. Nothing is changed then.
pub fn with_umask(mask: u32) -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    umask(Mode::from_bits_truncate(mask));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_of_one_thread_is_not_that_of_others_but_of_those_that_it_starts() {
        let file_mask = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap().to_owned()
        };
        let before = file_mask();
        let apart = std::thread::spawn(move || {
            with_umask(0o123).ok()?;
            Some((file_mask(), std::thread::spawn(file_mask).join().unwrap()))
        });
        // None in a container that forbids it.
        if let Some(masks) = apart.join().unwrap() {
            assert_eq!(masks, ("0123".to_owned(), "0123".to_owned()));
        }
        assert_eq!(file_mask(), before);
    }
}
