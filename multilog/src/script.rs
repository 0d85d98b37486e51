//! The script: a list of actions that every line goes through.

use crate::label::Stamp;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The limits of a log directory, and what is done with what is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one log at the most.
    pub size: u64,
    /// Logs at the most, current included.
    pub number: usize,
    /// The command that a log goes through when it is rotated.
    pub processor: Option<OsString>,
    /// What the name of a safely written old log ends with, behind the dot.
    pub suffix: Vec<u8>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Deselect the line if this pattern matches.
    Deselect(Vec<u8>),
    /// Select the line if this pattern matches.
    Select(Vec<u8>),
    /// A selected line goes to standard error.
    Alert,
    /// A selected line becomes the content of this file.
    Status(PathBuf),
    /// A selected line is appended to this log.
    Log(PathBuf, Limits),
}

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// How each line is labelled with the time, if it is.
    pub stamp: Option<Stamp>,
    /// What each line goes through, in this order.
    pub actions: Vec<Action>,
}

/// The argument that cannot be obeyed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misused {
    /// The argument as it was given.
    pub argument: Vec<u8>,
    /// What is wrong with it and what to do.
    pub reason: &'static str,
}

const LEAST_SIZE: u64 = 4096;
const LEAST_NUMBER: u64 = 2;
/// A file name has 255 bytes; `@`, 24 digits and the dot leave this.
const LONGEST_SUFFIX: usize = 255 - 26;

/// Reads a script. What has no meaning is passed over, as daemontools does.
///
/// # Errors
/// A suffix (`w`) that cannot be the end of a file's name.
pub fn parse(args: &[Vec<u8>]) -> Result<Script, Misused> {
    let stamp = match args.first().and_then(|first| first.first()) {
        Some(b't') => Some(Stamp::Tai64n),
        Some(b'T') => Some(Stamp::Iso),
        _ => None,
    };
    let mut limits = Limits { size: 99_999, number: 10, processor: None, suffix: b"s".to_vec() };
    let mut actions = vec![];
    for arg in &args[usize::from(stamp.is_some())..] {
        let Some((&letter, rest)) = arg.split_first() else { continue };
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        match letter {
            b'-' => actions.push(Action::Deselect(rest.to_vec())),
            b'+' => actions.push(Action::Select(rest.to_vec())),
            b'e' => actions.push(Action::Alert),
            b'=' => actions.push(Action::Status(path(rest))),
            b'.' | b'/' => actions.push(Action::Log(path(arg), limits.clone())),
            b's' => limits.size = number(rest).max(LEAST_SIZE),
            b'n' => limits.number = usize::try_from(number(rest).max(LEAST_NUMBER)).unwrap_or(usize::MAX),
            b'!' => limits.processor = (!rest.is_empty()).then(|| OsString::from_vec(rest.to_vec())),
            b'w' => limits.suffix = suffix(arg, rest)?,
            _ => {}
        }
    }
    Ok(Script { stamp, actions })
}

impl Script {
    /// The size of the smallest log; `None` without a log.
    pub fn smallest_size(&self) -> Option<u64> {
        let size = |action: &Action| match action {
            Action::Log(_, limits) => Some(limits.size),
            _ => None,
        };
        self.actions.iter().filter_map(size).min()
    }
}

/// The digits at the start; 0 where there are none.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|c| c.is_ascii_digit());
    digits.fold(0_u64, |n, c| n.saturating_mul(10).saturating_add(u64::from(c - b'0')))
}

fn suffix(argument: &[u8], suffix: &[u8]) -> Result<Vec<u8>, Misused> {
    let misused = |reason| Err(Misused { argument: argument.to_vec(), reason });
    if suffix.contains(&b'/') {
        return misused("the end of a file's name cannot hold a slash");
    }
    if suffix.len() > LONGEST_SUFFIX {
        return misused("file name too long: give at most 229 characters");
    }
    Ok(suffix.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(words: &[&str]) -> Script {
        parse(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()).unwrap()
    }

    fn log(script: &Script) -> &Limits {
        match script.actions.last() {
            Some(Action::Log(_, limits)) => limits,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn limits_hold_for_the_directories_that_follow() {
        for (words, size, number) in [
            (vec!["./a"], 99_999, 10),
            (vec!["s5000", "n3", "./a"], 5000, 3),
            (vec!["s1", "n1", "./a"], 4096, 2),
            (vec!["s", "n", "./a"], 4096, 2),
            (vec!["s5000x7", "./a"], 5000, 10),
            (vec!["s-5000", "n+7", "./a"], 4096, 2),
            (vec!["s99999999", "./a"], 99_999_999, 10),
            (vec!["s99999999999999999999999", "./a"], u64::MAX, 10),
        ] {
            let script = script(&words);
            assert_eq!((log(&script).size, log(&script).number), (size, number), "{words:?}");
        }
        let processed = script(&["!gzip", "/a"]);
        assert_eq!(log(&processed).processor.as_deref(), Some("gzip".as_ref()));
        assert_eq!(log(&script(&["!gzip", "!", "/a"])).processor, None);
    }

    #[test]
    fn a_suffix_holds_for_the_directories_that_follow_and_fits_a_file_name() {
        assert_eq!(log(&script(&["./a"])).suffix, b"s");
        assert_eq!(log(&script(&["wgz", "./a"])).suffix, b"gz");
        assert_eq!(log(&script(&["w", "./a"])).suffix, b"");
        assert_eq!(log(&script(&["./a", "wgz", "./b", "ws", "./c"])).suffix, b"s");
        for bad in [b"wa/b".to_vec(), [b'w'; 231].to_vec()] {
            assert_eq!(parse(std::slice::from_ref(&bad)).unwrap_err().argument, bad);
        }
        assert!(parse(&[[b'w'; 230].to_vec()]).is_ok());
    }

    #[test]
    fn t_counts_only_as_the_first() {
        for (words, stamp) in [
            (vec!["t", "./a"], Some(Stamp::Tai64n)),
            (vec!["tx", "./a"], Some(Stamp::Tai64n)),
            (vec!["T", "./a"], Some(Stamp::Iso)),
            (vec!["./a", "t"], None),
            (vec!["./a", "T"], None),
            (vec!["", "t"], None),
            (vec![], None),
        ] {
            assert_eq!(script(&words).stamp, stamp, "{words:?}");
        }
    }

    #[test]
    fn actions_keep_their_order_and_unknown_letters_are_passed_over() {
        let script = script(&["-*", "z", "+*x*", "e", "=status", ""]);
        assert_eq!(
            script.actions,
            [
                Action::Deselect(b"*".to_vec()),
                Action::Select(b"*x*".to_vec()),
                Action::Alert,
                Action::Status("status".into())
            ]
        );
    }

    proptest! {
        #[test]
        fn any_arguments_are_a_script_with_limits_that_can_be_kept(
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12)
        ) {
            if let Ok(script) = parse(&args) {
                prop_assert!(script.actions.len() <= args.len());
                for action in script.actions {
                    if let Action::Log(_, limits) = action {
                        prop_assert!(limits.size >= 4096 && limits.number >= 2);
                        prop_assert!(!limits.suffix.contains(&b'/'));
                    }
                }
            }
        }
    }
}
