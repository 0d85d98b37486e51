//! Options as daemontools reads them: single letters before the first operand, combined at will, their arguments
//! attached or in the next word; a word that begins with `--` ends them, `-` is an operand.

use crate::failure::{Failure, say};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The options in the order given, each with its argument, and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Letters with their arguments; without one for letters that take none.
    pub given: Vec<(u8, Option<Vec<u8>>)>,
    /// The words after the options.
    pub operands: Vec<OsString>,
}

/// What is wrong with an option.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The letter is no option.
    Illegal(u8),
    /// Its argument is missing.
    Incomplete(u8),
    /// Its argument makes no sense.
    Senseless(u8),
}

/// Splits words (without the program's name). `takes` says of a letter whether it takes an argument; `None` for one
/// that is no option; `makes_sense` says of an argument whether its option can take it.
///
/// # Errors
/// The first option that is wrong.
pub fn parse(
    words: impl IntoIterator<Item = OsString>,
    takes: impl Fn(u8) -> Option<bool>,
    makes_sense: impl Fn(&[u8]) -> bool,
) -> Result<Options, Wrong> {
    let mut given = vec![];
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.as_bytes()[0] == b'-') {
        if word.as_bytes().starts_with(b"--") {
            break;
        }
        let mut letters = &word.as_bytes()[1..];
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            let argument = match takes(letter).ok_or(Wrong::Illegal(letter))? {
                false => None,
                true if rest.is_empty() => Some(words.next().ok_or(Wrong::Incomplete(letter))?.into_vec()),
                true => Some(std::mem::take(&mut letters).to_vec()),
            };
            if argument.as_deref().is_some_and(|argument| !makes_sense(argument)) {
                return Err(Wrong::Senseless(letter));
            }
            given.push((letter, argument));
        }
    }
    Ok(Options { given, operands: words.collect() })
}

impl From<Wrong> for Failure {
    /// Says what is wrong, under the name the program was called by; the usage follows. Of an argument without sense
    /// the usage says enough.
    fn from(wrong: Wrong) -> Self {
        let called = std::env::args_os().next().unwrap_or_default();
        let name = called.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        match wrong {
            Wrong::Illegal(letter) => say(&[name, b": illegal option -- ", &[letter]]),
            Wrong::Incomplete(letter) => say(&[name, b": option requires an argument -- ", &[letter]]),
            Wrong::Senseless(_) => {}
        }
        Self::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options as `a b=5`, then the operands; `n` takes no argument, `o` does.
    fn split(line: &str) -> Result<String, Wrong> {
        let takes = |letter| match letter {
            b'n' => Some(false),
            b'o' => Some(true),
            _ => None,
        };
        let options =
            parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from), takes, |argument| {
                argument != b"bad"
            })?;
        let given = options.given.iter().map(|(letter, argument)| match argument {
            None => char::from(*letter).to_string(),
            Some(argument) => format!("{}={}", char::from(*letter), String::from_utf8_lossy(argument)),
        });
        let operands = options.operands.iter().map(|word| word.to_string_lossy().into_owned());
        Ok(given.chain(["|".to_owned()]).chain(operands).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn letters_combine_and_arguments_may_be_attached() {
        for (line, expected) in [
            ("", "|"),
            ("file child", "| file child"),
            ("-n file -n", "n | file -n"),
            ("-nn -n x", "n n n | x"),
            ("-o 5 x", "o=5 | x"),
            ("-o5 x", "o=5 | x"),
            ("-no5 x", "n o=5 | x"),
            ("-no 5 x", "n o=5 | x"),
            ("-o -n x", "o=-n | x"),
            ("-on x", "o=n | x"),
            ("-- -n x", "| -n x"),
            ("-n -- -n", "n | -n"),
            ("- x", "| - x"),
            ("--nz -n x", "| -n x"),
        ] {
            assert_eq!(split(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_first_wrong_option_is_told() {
        assert_eq!(split("-nz -o"), Err(Wrong::Illegal(b'z')));
        assert_eq!(split("-n-"), Err(Wrong::Illegal(b'-')));
        assert_eq!(split("-o bad -z"), Err(Wrong::Senseless(b'o')));
        assert_eq!(split("-n -o"), Err(Wrong::Incomplete(b'o')));
    }
}
