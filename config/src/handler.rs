//! Whether what does the work is there: the handler's file and its interpreter, or a program in its place.

use crate::{ConfigError, Settings};
use nix::unistd::{AccessFlags, User, access, geteuid};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// So many links in a row are a circle, for the kernel, too.
const LONGEST_CHAIN: u32 = 40;

/// Looks at it as the participant, whose programs without a slash are looked for on `search`; without that as somebody
/// else, for whom neither its PATH nor what its user may do is to be judged.
///
/// # Errors
/// [`ConfigError`], with file, line and key where the settings name it.
pub fn check(settings: &Settings, config: &Path, search: Option<&OsStr>) -> Result<(), ConfigError> {
    let complain = |key, reason| settings.complaint(config, key, reason);
    match settings.exec.first() {
        Some(program) => usable(program, search).map_err(|reason| complain("exec", reason)),
        None => {
            usable(&settings.python, search).map_err(|reason| complain("python", reason))?;
            readable(&settings.code, search.is_some()).map_err(|reason| complain("code", reason))
        }
    }
}

/// Where the participant's programs are looked for: its own files may say so.
pub fn search(settings: &Settings) -> Option<OsString> {
    let own = settings.environment.iter().rev().find(|(name, _)| name == "PATH");
    own.map(|(_, path)| path.into()).or_else(|| std::env::var_os("PATH"))
}

/// Where a program is found, as the shell would look for it.
pub fn find(program: &str, search: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let executable = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    std::env::split_paths(search).map(|dir| dir.join(program)).find(executable)
}

fn usable(program: &str, search: Option<&OsStr>) -> Result<(), String> {
    if !program.contains('/') {
        return match search {
            Some(search) if find(program, search).is_none() => {
                Err(format!("there is no program {program} on PATH, {}", search.display()))
            }
            _ => Ok(()),
        };
    }
    let ours = search.is_some();
    match fs::metadata(program) {
        Err(e) if denied(&e) => judge(ours, || closed("execute", Path::new(program))),
        Err(_) => Err(format!("there is no program {program}: put it there, or name another")),
        Ok(meta) if !meta.is_file() => Err(format!("{program} is no program: name one")),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Err(format!("nobody may execute {program}: chmod a+x {program}"))
        }
        Ok(_) if access(program, AccessFlags::X_OK).is_err() => {
            judge(ours, || closed("execute", Path::new(program)))
        }
        Ok(_) => Ok(()),
    }
}

fn readable(code: &Path, ours: bool) -> Result<(), String> {
    let shown = code.display();
    match fs::metadata(code) {
        Err(e) if denied(&e) => judge(ours, || closed("read", code)),
        Err(_) => Err(format!("there is no handler file {shown}: put it there, or set code")),
        Ok(meta) if !meta.is_file() => Err(format!("{shown} is no handler file: set code")),
        Ok(_) if access(code, AccessFlags::R_OK).is_err() => judge(ours, || closed("read", code)),
        Ok(_) => Ok(()),
    }
}

pub(crate) fn judge(ours: bool, complaint: impl Fn() -> String) -> Result<(), String> {
    if ours { Err(complaint()) } else { Ok(()) }
}

pub(crate) fn denied(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::PermissionDenied
}

pub(crate) fn closed(verb: &str, file: &Path) -> String {
    let me = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    let file_shown = file.display();
    match closed_folder(file).map(|folder| folder.display().to_string()) {
        Some(folder) => format!(
            "the user {me} may not {verb} {file_shown}, as {folder} is closed to it: keep it elsewhere, or chmod o+x {folder}"
        ),
        None => format!("the user {me} may not {verb} {file_shown}"),
    }
}

/// The first folder on the way to a file, links followed, into which this process is not let.
fn closed_folder(file: &Path) -> Option<PathBuf> {
    let steps =
        |path: &Path| path.components().rev().map(|step| step.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut place, mut left, mut links) = (PathBuf::new(), steps(file), 0);
    while let Some(step) = left.pop() {
        if !place.as_os_str().is_empty() && access(&place, AccessFlags::X_OK).is_err() {
            return Some(place);
        }
        if step == ".." {
            place.pop();
            continue;
        }
        // An absolute step, the root, takes the place of all before.
        let next = place.join(step);
        match fs::read_link(&next) {
            Ok(target) if links < LONGEST_CHAIN => {
                links += 1;
                left.extend(steps(&target));
            }
            _ => place = next,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Home, load};

    #[test]
    fn what_is_not_there_is_told_with_the_place_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().canonicalize().unwrap().join("sizer");
        let file = |name: &str, mode| {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir_all(dir.join("folder")).unwrap();
        for (name, mode) in [("plain", 0o644), ("work", 0o755), ("here.py", 0o644)] {
            file(name, mode);
        }
        let python = "python = \"./work\"\n";
        for (config, says) in [
            ("exec = [\"./work\"]", ""),
            ("exec = [\"work\"]", ""),
            (
                "exec = [\"./gone\", \"work\"]",
                ":1: exec: there is no program DIR/gone: put it there, or name another",
            ),
            ("\nexec = [\"./folder\"]", ":2: exec: DIR/folder is no program: name one"),
            ("exec = [\"./plain\"]", ":1: exec: nobody may execute DIR/plain: chmod a+x DIR/plain"),
            ("exec = [\"plain\"]", ":1: exec: there is no program plain on PATH, DIR"),
            (
                "code = \"here.py\"\npython = \"./none\"",
                ":2: python: there is no program DIR/none: put it there, or name another",
            ),
            (&format!("{python}code = \"here.py\""), ""),
            (
                &format!("{python}code = \"gone.py\""),
                ":2: code: there is no handler file DIR/gone.py: put it there, or set code",
            ),
            (&format!("{python}code = \"folder\""), ":2: code: DIR/folder is no handler file: set code"),
            (python, "config.exo: code: there is no handler file DIR/sizer.py: put it there, or set code"),
        ] {
            let path = dir.join("config.exo");
            fs::write(&path, config).unwrap();
            let (settings, _) = load(&Home::at(Some(root.path().into())), &path).unwrap();
            let said = check(&settings, &path, Some(dir.as_os_str()))
                .map_or_else(|e| e.to_string(), |()| String::new());
            let says = says.replace("DIR", dir.to_str().unwrap());
            assert!(said.ends_with(&says) && said.is_empty() == says.is_empty(), "{config}: {said}");
            // Whoever has another PATH judges by paths only.
            assert_eq!(
                check(&settings, &path, None).is_ok(),
                says.is_empty() || says.contains("on PATH"),
                "{config}"
            );
        }
    }
}
