//! Whom the participant runs as: never root, unless the settings say so in so many words.

use crate::trust;
use config::Settings;
use config::settings::USERS;
use nix::libc;
use nix::unistd::{User, geteuid};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use unix::privileges;

/// Variables for the program that does the work.
pub type Environment = Vec<(OsString, OsString)>;

/// Becomes the user that the settings ask for, with the state folder made for it. Returns the variables that
/// tell the user's programs who they are.
///
/// # Errors
/// In one line, why not.
pub fn assume(settings: &Settings, files: &[PathBuf]) -> Result<Environment, String> {
    if !privileges::is_root() {
        keep(settings)?;
        return Ok(own(settings).collect());
    }
    for file in files {
        trust::check(file).map_err(|distrust| distrust.to_string())?;
    }
    let user = target(settings)?;
    if user.uid.is_root() && user.name != "root" {
        return Err(format!(
            "{} is root by another name: set user to another account, or to root",
            user.name
        ));
    }
    make_state(&settings.state, Some(&user))?;
    if !user.uid.is_root() {
        privileges::become_user(&user).map_err(|e| format!("cannot become {}: {e}", user.name))?;
    }
    let account = [
        ("HOME".into(), user.dir.into()),
        ("USER".into(), user.name.clone().into()),
        ("LOGNAME".into(), user.name.into()),
    ];
    Ok(account.into_iter().chain(own(settings)).collect())
}

/// What the files of the original set; it comes after what the account says, and wins.
fn own(settings: &Settings) -> impl Iterator<Item = (OsString, OsString)> + '_ {
    settings.environment.iter().map(|(name, value)| (name.into(), value.into()))
}

/// Not started as root: there is nothing to drop, and nobody else to become.
fn keep(settings: &Settings) -> Result<(), String> {
    let own = User::from_uid(geteuid()).ok().flatten();
    if let Some(wanted) = &settings.user
        && own.as_ref().is_none_or(|own| own.name != *wanted)
    {
        let me = own.map_or_else(|| geteuid().to_string(), |own| own.name);
        return Err(format!("cannot become {wanted}: started as {me}, not as root"));
    }
    make_state(&settings.state, None)
}

fn target(settings: &Settings) -> Result<User, String> {
    let find = |name: &str| privileges::account(name).map_err(|e| format!("cannot look up {name}: {e}"));
    match &settings.user {
        Some(name) => find(name)?.ok_or_else(|| format!("there is no account {name}")),
        None => {
            for name in USERS {
                if let Some(user) = find(name)? {
                    return Ok(user);
                }
            }
            Err(format!("there is no account {}: set user", USERS.join(" and no account ")))
        }
    }
}

/// The mode of a state folder that is not finished: whoever was killed there leaves the rest to the next. Nobody else would
/// choose it, as nothing can be written there.
const UNFINISHED: u32 = 0o500;

/// The state folder, for the participant and whoever is in its group.
fn make_state(state: &Path, owner: Option<&User>) -> Result<(), String> {
    let cannot = |e: &dyn std::fmt::Display| format!("cannot make {}: {e}", state.display());
    if let Some(parent) = state.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(|e| cannot(&e))?;
    }
    match DirBuilder::new().mode(UNFINISHED).create(state) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(cannot(&e)),
        _ => {}
    }
    let there = fs::metadata(state).map_err(|e| cannot(&e))?;
    if !there.is_dir() {
        return Err(cannot(&"it is no folder"));
    }
    if there.mode() & 0o777 == UNFINISHED {
        // Through a descriptor: who may write the folder around it must not put something else in its place.
        let look =
            OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(state);
        let folder = look.map_err(|e| cannot(&e))?;
        if let Some(user) = owner {
            fchown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(|e| cannot(&e))?;
        }
        folder.set_permissions(Permissions::from_mode(0o2750)).map_err(|e| cannot(&e))?;
    }
    Ok(())
}
