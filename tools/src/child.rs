//! The program that a wrapper becomes: found in the PATH that the wrapper was started with, whatever it changes.

use crate::environment::Environment;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use unix::execution::Execution;

/// Where to look when there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Makes `words` (the child and its arguments) ready to be run with this environment, for the program `wrapper`.
pub fn prepare(wrapper: &str, words: &[OsString], environment: Environment) -> Execution {
    let name = words.first().map_or(OsStr::new(""), OsString::as_os_str).as_bytes();
    let candidates = candidates(name, Environment::inherited().get(b"PATH"));
    let argv = words.iter().filter_map(|word| CString::new(word.clone().into_vec()).ok()); // words hold no NUL
    let complaint = [wrapper.as_bytes(), b": fatal: unable to run ", name, b": "].concat();
    Execution::new(candidates, argv.collect(), environment.into_entries(), complaint)
}

/// The paths at which a program may lie, in order: itself if there is a slash in its name. An empty element of PATH
/// is the working directory.
fn candidates(name: &[u8], path: Option<&[u8]>) -> Vec<CString> {
    let found: Vec<Vec<u8>> = if name.contains(&b'/') {
        vec![name.to_vec()]
    } else {
        let folders = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
        folders.map(|folder| [if folder.is_empty() { b"." } else { folder }, b"/", name].concat()).collect()
    };
    found.into_iter().filter_map(|path| CString::new(path).ok()).collect() // nor does the environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_each_element_of_path() {
        for (name, path, expected) in [
            ("sh", None, "/bin/sh /usr/bin/sh"),
            ("sh", Some("/a:/b"), "/a/sh /b/sh"),
            ("sh", Some(""), "./sh"),
            ("sh", Some(":"), "./sh ./sh"),
            ("sh", Some("/a::/b:"), "/a/sh ./sh /b/sh ./sh"),
            ("sh", Some("/a/"), "/a//sh"),
            ("./sh", Some("/a"), "./sh"),
            ("a/sh", None, "a/sh"),
            ("", Some("/a"), "/a/"),
        ] {
            let paths = candidates(name.as_bytes(), path.map(str::as_bytes));
            let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(paths.join(" "), expected, "{name} {path:?}");
        }
    }
}
