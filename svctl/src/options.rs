//! Options as daemontools reads them: single letters, combined at will, before the first directory; a word that
//! begins with `--` ends them.

use crate::waiting::Goal;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// The letters given, each once and in the order given, and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The option letters.
    pub letters: Vec<u8>,
    /// What is waited for (`-wu` …), and for how long at most.
    pub goal: Option<Goal>,
    /// `-T MILLISECONDS`.
    pub patience: Option<Duration>,
    /// The directories.
    pub dirs: Vec<OsString>,
}

/// What is wrong with options.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// This letter is no option.
    Illegal(u8),
    /// This letter needs an argument.
    NoArgument(u8),
    /// `-T` takes milliseconds, not this.
    NoNumber(OsString),
}

/// Splits arguments (without the program's name) into options and directories. A `w` that is directly followed by
/// the letter of a goal means waiting for it, and no letter.
///
/// # Errors
/// The first thing that is wrong; letters that `known` does not know are.
pub fn parse(args: impl IntoIterator<Item = OsString>, known: impl Fn(u8) -> bool) -> Result<Options, Wrong> {
    let mut options = Options { letters: vec![], goal: None, patience: None, dirs: vec![] };
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next_if(|arg| arg.len() > 1 && arg.as_bytes()[0] == b'-') {
        if arg.as_bytes().starts_with(b"--") {
            break;
        }
        let mut rest = &arg.as_bytes()[1..];
        while let Some((&letter, after)) = rest.split_first() {
            rest = after;
            let goal = after.first().copied().and_then(Goal::from_letter).filter(|_| letter == b'w');
            if letter == b'T' {
                let given = (!after.is_empty()).then(|| OsString::from_vec(after.to_vec()));
                options.patience = Some(patience(given.or_else(|| args.next()))?);
                break;
            } else if goal.is_some() {
                options.goal = goal;
                rest = &after[1..];
            } else if !known(letter) {
                return Err(Wrong::Illegal(letter));
            } else if !options.letters.contains(&letter) {
                options.letters.push(letter);
            }
        }
    }
    options.dirs = args.collect();
    Ok(options)
}

fn patience(argument: Option<OsString>) -> Result<Duration, Wrong> {
    let argument = argument.ok_or(Wrong::NoArgument(b'T'))?;
    let number = argument.to_str().and_then(|text| text.parse().ok());
    number.map(Duration::from_millis).ok_or(Wrong::NoNumber(argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<(String, String), u8> {
        let args = line.split_whitespace().map(OsString::from);
        let options = parse(args, |letter| b"udx".contains(&letter)).map_err(|wrong| match wrong {
            Wrong::Illegal(letter) => letter,
            _ => 0,
        })?;
        let dirs: Vec<_> = options.dirs.iter().map(|dir| dir.to_string_lossy()).collect();
        Ok((String::from_utf8_lossy(&options.letters).into_owned(), dirs.join(" ")))
    }

    #[test]
    fn letters_are_kept_in_order_and_once_each() {
        for (line, letters, dirs) in [
            ("", "", ""),
            ("a b", "", "a b"),
            ("-u a", "u", "a"),
            ("-dx a", "dx", "a"),
            ("-u -d -u a", "ud", "a"),
            ("-u -- -d", "u", "-d"),
            ("-u a -d", "u", "a -d"),
            ("-u - a", "u", "- a"),
        ] {
            assert_eq!(split(line), Ok((letters.into(), dirs.into())), "{line}");
        }
    }

    #[test]
    fn an_unknown_letter_is_refused() {
        assert_eq!(split("-uz a"), Err(b'z'));
    }

    #[test]
    fn w_before_the_letter_of_a_goal_waits_and_else_is_a_letter() {
        let parsed = |line: &str| {
            let args = line.split_whitespace().map(OsString::from);
            parse(args, |letter| b"udxw".contains(&letter)).map(|o| (o.letters, o.goal, o.patience))
        };
        let second = Some(Duration::from_secs(1));
        for (line, letters, goal, patience) in [
            ("-wu a", "", Some(Goal::Up), None),
            ("-wd -d a", "d", Some(Goal::Down), None),
            ("-dwD a", "d", Some(Goal::Finished), None),
            ("-w a", "w", None, None),
            ("-w -u a", "wu", None, None),
            ("-wx a", "wx", None, None),
            ("-wr -T 1000 a", "", Some(Goal::Restarted), second),
            ("-wUT1000 a", "", Some(Goal::Ready), second),
        ] {
            assert_eq!(parsed(line), Ok((letters.as_bytes().to_vec(), goal, patience)), "{line}");
        }
        assert_eq!(parsed("-wu -T"), Err(Wrong::NoArgument(b'T')));
        assert_eq!(parsed("-T soon"), Err(Wrong::NoNumber("soon".into())));
    }
}
