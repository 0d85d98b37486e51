//! A mark on an open file, for whoever looks: a lock that nobody waits for. It needs no room on the disk, can be made where
//! nothing can be written, goes when its maker ends, and looking for it takes no lock (fcntl(2), open file description
//! locks).

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// A mark, there as long as this lives.
#[derive(Debug)]
pub struct Mark {
    _file: File,
}

impl Mark {
    /// Marks a file that is open for reading.
    ///
    /// # Errors
    /// What `fcntl` reports, as where the file system has no locks.
    pub fn on(file: File) -> io::Result<Self> {
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_RDLCK)))?;
        Ok(Self { _file: file })
    }
}

/// Whether a file is marked by somebody else. Where the file system has no locks nobody can say so.
pub fn is_marked(file: impl AsFd) -> bool {
    // A lock for writing is what a mark would be in the way of.
    let mut asked = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).is_ok() && asked.l_type != lock_type(libc::F_UNLCK)
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: lock_type(kind),
        l_whence: lock_type(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
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
        assert!(!is_marked(&first));
        let mark = Mark::on(open()).unwrap();
        assert!(is_marked(&first) && is_marked(&second));
        drop(mark);
        assert!(!is_marked(&first) && !is_marked(&second));
        std::fs::remove_file(&path).unwrap();
    }
}
