//! Files that are run as soon as they are written.

use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file that may be executed at once.
///
/// A child that another test forks meanwhile has all that this process has open, until it executes; a program or
/// script that is open for writing cannot be run (ETXTBSY). So it is written with a table of descriptors of its own.
pub fn executable(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    let (path, text) = (path.as_ref(), text.as_ref());
    let write = || {
        // Where that may not be, it is written all the same.
        let _ = unshare(CloneFlags::CLONE_FILES);
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(write).join().unwrap());
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn what_is_written_can_be_run_whatever_others_start_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = Command::new("/bin/true").stdout(Stdio::null()).status();
                    }
                });
            }
            let runs = |number| {
                let path = folder.path().join(format!("script{number}"));
                super::executable(&path, "#!/bin/sh\n");
                Command::new(&path).status().map(|status| status.success())
            };
            let failed: Vec<_> = (0..300).map(runs).filter(|run| !matches!(run, Ok(true))).collect();
            over.store(true, Ordering::Relaxed);
            assert!(failed.is_empty(), "{failed:?}");
        });
    }
}
