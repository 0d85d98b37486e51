//! What root may execute or believe: only what nobody but root can change.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
/// So many links one after the other lead nowhere.
const MOST_LINKS: u32 = 40;

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
                "started as root, but {0} belongs to uid {uid}: repair with: chown -h root {0}",
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

/// Checks a file, every folder on the way to it, and every link on the way with the folders on the way to where it
/// leads. Folders of root's that are sticky, as /tmp, are allowed.
///
/// # Errors
/// The first thing that cannot be trusted.
pub fn check(file: &Path) -> Result<(), Distrust> {
    let absolute = std::path::absolute(file).map_err(|e| Distrust::Look(file.into(), e))?;
    let mut rest: VecDeque<OsString> = steps(&absolute).collect();
    let mut here = PathBuf::from("/");
    let mut links = 0;
    look(&here)?;
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(step);
        if let Some(target) = look(&next)? {
            links += 1;
            if links > MOST_LINKS {
                return Err(Distrust::Look(next, io::Error::from_raw_os_error(nix::libc::ELOOP)));
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let before: Vec<_> = steps(&target).collect();
            before.into_iter().rev().for_each(|step| rest.push_front(step));
        } else {
            here = next;
        }
    }
    Ok(())
}

fn steps(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Looks at one thing; returns where it leads when it is a link.
fn look(path: &Path) -> Result<Option<PathBuf>, Distrust> {
    let problem = |e| Distrust::Look(path.into(), e);
    let meta = fs::symlink_metadata(path).map_err(problem)?;
    if meta.uid() != 0 {
        return Err(Distrust::Owner(path.into(), meta.uid()));
    }
    if meta.is_symlink() {
        return fs::read_link(path).map(Some).map_err(problem);
    }
    let shared = meta.is_dir() && meta.mode() & STICKY != 0;
    if meta.mode() & OTHERS_WRITE != 0 && !shared {
        return Err(Distrust::Writable(path.into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn says(file: &Path) -> String {
        check(file).map_or_else(|distrust| distrust.to_string(), |()| "trusted".into())
    }

    #[test]
    fn what_others_may_write_is_not_trusted_and_the_repair_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.exo");
        fs::write(&file, "").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if fs::metadata(&file).unwrap().uid() != 0 {
            assert!(matches!(check(&file), Err(Distrust::Owner(..))));
            return; // only root can make what root trusts
        }
        mode(&file, 0o644);
        assert_eq!(says(&file), "trusted");
        mode(&file, 0o664);
        assert!(says(&file).ends_with(&format!("chmod go-w {}", file.display())), "{}", says(&file));
        mode(&file, 0o644);
        mode(folder.path(), 0o777);
        assert!(says(&file).ends_with(&format!("chmod go-w {}", folder.path().display())), "{}", says(&file));
        mode(folder.path(), 0o1777);
        assert_eq!(says(&file), "trusted");
        chown(&file, Some(1), None).unwrap();
        assert!(
            says(&file)
                .ends_with(&format!("belongs to uid 1: repair with: chown -h root {}", file.display()))
        );
    }

    #[test]
    fn a_link_that_others_could_turn_elsewhere_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        if fs::metadata(folder.path()).unwrap().uid() != 0 {
            return; // only root can make what root trusts
        }
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::create_dir(at("theirs")).unwrap();
        symlink("../file", at("theirs/link")).unwrap();
        symlink("theirs/link", at("ours")).unwrap();
        assert_eq!(says(&at("ours")), "trusted");
        chown(at("theirs"), Some(1), None).unwrap();
        assert!(says(&at("ours")).contains("theirs belongs to uid 1"), "{}", says(&at("ours")));
        symlink("loop", at("loop")).unwrap();
        assert!(says(&at("loop")).contains("cannot look at"), "{}", says(&at("loop")));
    }
}
