//! Old logs: their names, and which are too many.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use unix::tai64n::Tai64n;

/// Whether a name is that of an old log: `@` and at least 24 more characters.
pub fn is_old(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'@') && name.len() >= 25
}

/// The old logs to remove so that at most `number` - 1 stay: the smallest names, which are the oldest. Older still are
/// those of a time after `now`: the clock has been set back since.
pub fn too_many(mut names: Vec<OsString>, number: usize, now: Tai64n) -> Vec<OsString> {
    let ahead = |name: &OsString| Tai64n::from_label(name.as_bytes()).is_some_and(|label| label > now);
    names.retain(|name| is_old(name));
    names.sort_by_cached_key(|name| (!ahead(name), name.clone()));
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
        let too_many = |number| too_many(names.clone(), number, Tai64n::now());
        assert_eq!(too_many(2), [name(1, ".u"), name(2, "")]);
        assert_eq!(too_many(4), [] as [OsString; 0]);
        assert_eq!(too_many(3), [name(1, ".u")]);
    }

    #[test]
    fn names_that_are_ahead_of_the_clock_go_before_the_others() {
        let names =
            ["@40000000000000020000000000.s", "@40000000000000030000000000.s", "@4000000000000001z.s", "@zz"];
        let names: Vec<OsString> = names.map(|name| name.replace("z", "00000000").into()).into();
        let now = Tai64n::from_label(b"@400000000000000200000000").unwrap();
        let gone = |number| too_many(names.clone(), number, now);
        assert_eq!(gone(3), [names[1].clone()]);
        assert_eq!(gone(2), [names[1].clone(), names[2].clone()]);
    }
}
