//! A mark on an open file, for whoever looks: a lock that nobody waits for. It needs no room on the disk, can be made where
//! nothing can be written, goes when its maker ends, and looking for it takes no lock (fcntl(2), open file description
//! locks). What it means is told by the byte that it is on, which need not be there.

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// A mark, there as long as this lives.
#[derive(Debug)]
pub struct Mark {
    file: File,
    byte: i64,
}

impl Mark {
    /// Marks a byte of a file that is open for reading.
    ///
    /// # Errors
    /// What `fcntl` reports, as where the file system has no locks.
    pub fn on(file: File, byte: i64) -> io::Result<Self> {
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, byte, 1)))?;
        Ok(Self { file, byte })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // Not by closing the file alone: a child that was just forked has it, too.
        let _ = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock(libc::F_UNLCK, self.byte, 1)));
    }
}

/// The byte that somebody else has marked. Where the file system has no locks nobody can say so.
pub fn marked(file: impl AsFd) -> Option<i64> {
    // A lock for writing on all of it is what a mark would be in the way of.
    let mut asked = lock(libc::F_WRLCK, 0, 0);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).ok()?;
    (asked.l_type != lock_type(libc::F_UNLCK)).then_some(asked.l_start)
}

/// A lock on so many bytes; 0 = to the end.
fn lock(kind: libc::c_int, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: lock_type(kind),
        l_whence: lock_type(libc::SEEK_SET),
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

/// The kernel's structure has short numbers where its constants are ints.
fn lock_type(constant: libc::c_int) -> libc::c_short {
    constant as libc::c_short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_seen_while_it_lives_and_by_any_number_of_readers() {
        let path = std::env::temp_dir().join(format!("marked-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let open = || File::open(&path).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(marked(&first), None);
        for byte in [0, 7] {
            let mark = Mark::on(open(), byte).unwrap();
            assert_eq!([marked(&first), marked(&second)], [Some(byte); 2]);
            drop(mark);
            assert_eq!([marked(&first), marked(&second)], [None; 2]);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
