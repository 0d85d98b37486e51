//! Old logs: their names, and which are too many.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whether a name is that of an old log: `@` and at least 24 more characters.
pub fn is_old(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'@') && name.len() >= 25
}

/// The old logs to remove so that at most `number` - 1 stay: the smallest names, which are the oldest.
pub fn too_many(mut names: Vec<OsString>, number: usize) -> Vec<OsString> {
    names.retain(|name| is_old(name));
    names.sort();
    names.truncate(names.len().saturating_sub(number - 1));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_names_go_first_whatever_follows_the_label() {
        let name = |n: u32, end: &str| OsString::from(format!("@{n:024x}{end}"));
        let names = vec![name(3, ".s"), name(1, ".u"), "current".into(), name(2, ""), "@short".into()];
        assert_eq!(too_many(names.clone(), 2), [name(1, ".u"), name(2, "")]);
        assert_eq!(too_many(names.clone(), 4), [] as [OsString; 0]);
        assert_eq!(too_many(names, 3), [name(1, ".u")]);
    }
}
