//! What root may execute or believe: only what nobody but root can change.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;

/// Why a file cannot be trusted.
#[derive(Debug)]
pub enum Distrust {
    /// It cannot be looked at.
    Look(PathBuf, io::Error),
    /// Somebody else owns it.
    Owner(PathBuf, u32),
    /// Somebody else may write it.
    Writable(PathBuf),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Look(path, e) => write!(f, "cannot look at {}: {e}", path.display()),
            Self::Owner(path, uid) => write!(
                f,
                "started as root, but {0} belongs to uid {uid}: repair with: chown root {0}",
                path.display()
            ),
            Self::Writable(path) => write!(
                f,
                "started as root, but others may write {0}: repair with: chmod go-w {0}",
                path.display()
            ),
        }
    }
}

/// Checks a file and every folder on the way to it. Folders of root's that are sticky, as /tmp, are allowed.
///
/// # Errors
/// The first thing that cannot be trusted.
pub fn check(file: &Path) -> Result<(), Distrust> {
    let real = file.canonicalize().map_err(|e| Distrust::Look(file.into(), e))?;
    for path in real.ancestors() {
        let meta = fs::metadata(path).map_err(|e| Distrust::Look(path.into(), e))?;
        if meta.uid() != 0 {
            return Err(Distrust::Owner(path.into(), meta.uid()));
        }
        let shared = meta.is_dir() && meta.mode() & STICKY != 0;
        if meta.mode() & OTHERS_WRITE != 0 && !shared {
            return Err(Distrust::Writable(path.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_write_is_not_trusted_and_the_repair_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.exo");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        if fs::metadata(&file).unwrap().uid() == 0 {
            let says = check(&file).unwrap_err().to_string();
            assert!(says.ends_with(&format!("chmod go-w {}", file.display())), "{says}");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            check(&file).unwrap();
        } else {
            assert!(matches!(check(&file), Err(Distrust::Owner(..))));
        }
    }
}
