//! The script: a list of actions that every line goes through.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The limits of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one log at the most.
    pub size: u64,
    /// Logs at the most, current included.
    pub number: usize,
    /// The command that a log goes through when it is rotated.
    pub processor: Option<OsString>,
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
    /// Whether each line is labelled with the time.
    pub labels: bool,
    /// What each line goes through, in this order.
    pub actions: Vec<Action>,
}

const DEFAULTS: Limits = Limits { size: 99_999, number: 10, processor: None };
const LEAST_SIZE: u64 = 4096;
const LEAST_NUMBER: u64 = 2;

/// Reads a script. What has no meaning is passed over, as daemontools does.
pub fn parse(args: &[Vec<u8>]) -> Script {
    let labels = args.first().is_some_and(|first| first.starts_with(b"t"));
    let mut limits = DEFAULTS;
    let mut actions = vec![];
    for arg in &args[usize::from(labels)..] {
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
            _ => {}
        }
    }
    Script { labels, actions }
}

/// The digits at the start; 0 where there are none.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|c| c.is_ascii_digit());
    digits.fold(0_u64, |n, c| n.saturating_mul(10).saturating_add(u64::from(c - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &[&str]) -> Script {
        parse(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
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
            (vec!["s99999999", "./a"], 99_999_999, 10),
        ] {
            let script = script(&words);
            assert_eq!((log(&script).size, log(&script).number), (size, number), "{words:?}");
        }
        let processed = script(&["!gzip", "/a"]);
        assert_eq!(log(&processed).processor.as_deref(), Some("gzip".as_ref()));
    }

    #[test]
    fn t_counts_only_as_the_first() {
        assert!(script(&["t", "./a"]).labels);
        assert!(script(&["tx", "./a"]).labels);
        assert!(!script(&["./a", "t"]).labels);
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
}
