//! Two sets of the same programs: `ours`, which `make build` made, and `theirs`, Debian's daemontools.

use std::path::{Path, PathBuf};

/// A folder of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    bin: PathBuf,
    ours: bool,
}

impl Programs {
    /// What `make build` made: target/skynet/bin, or the folder that SKYNET_BIN names.
    pub fn ours() -> Self {
        let built = || crate::checkout().join("target/skynet/bin");
        Self::ours_in(std::env::var_os("SKYNET_BIN").map_or_else(built, PathBuf::from))
    }

    /// Ours, built in another way.
    pub fn ours_in(bin: PathBuf) -> Self {
        assert!(bin.join("svscan").exists(), "no programs in {}: run `make build` first", bin.display());
        Self { bin, ours: true }
    }

    /// Debian's daemontools, which `tests/setup` unpacked.
    pub fn theirs() -> Self {
        let bin = crate::checkout().join("target/tests/peers/usr/bin");
        assert!(bin.join("svscan").exists(), "no programs in {}: run `tests/setup` first", bin.display());
        Self { bin, ours: false }
    }

    /// The folder they lie in.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The path of one of them.
    pub fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// Whether they are ours.
    pub fn are_ours(&self) -> bool {
        self.ours
    }
}
