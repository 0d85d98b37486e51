//! The small disk that the tree lives on, which is full at times. What the services note is not on it.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use tests::Sandbox;
use tests::mounts::{Mount, own_mounts};

/// More than the logs of a tree come to.
const SIZE: &str = "-osize=192m";

/// A disk of the sandbox's own, at `scan`.
pub struct Disk {
    ballast: PathBuf,
    _mount: Mount,
}

impl Disk {
    /// Makes it, where this user may.
    pub fn new(sandbox: &Sandbox) -> Option<Self> {
        let place = sandbox.folder("scan");
        own_mounts().then(|| Self {
            ballast: place.join(".ballast"),
            _mount: Mount::new(&place, &["-t", "tmpfs", SIZE, "none"]),
        })
    }

    /// Leaves no room for a single byte.
    pub fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(&self.ballast).unwrap();
        for chunk in [vec![0; 1 << 20], vec![0; 1]] {
            while file.write_all(&chunk).is_ok() {}
        }
    }

    /// There is room again.
    pub fn free(&self) {
        // It may not be full.
        let _ = fs::remove_file(&self.ballast);
    }
}
