//! Options as daemontools reads them: single letters, combined at will, before the first directory; a word that
//! begins with `--` ends them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// The letters given, each once and in the order given, and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The option letters.
    pub letters: Vec<u8>,
    /// The directories.
    pub dirs: Vec<OsString>,
}

/// A letter that is no option.
#[derive(Debug, PartialEq, Eq)]
pub struct Illegal(pub u8);

/// Splits arguments (without the program's name) into option letters and directories.
///
/// # Errors
/// The first letter that `known` does not know.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    known: impl Fn(u8) -> bool,
) -> Result<Options, Illegal> {
    let mut letters = Vec::new();
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next_if(|arg| arg.len() > 1 && arg.as_bytes()[0] == b'-') {
        if arg.as_bytes().starts_with(b"--") {
            break;
        }
        for &letter in &arg.as_bytes()[1..] {
            if !known(letter) {
                return Err(Illegal(letter));
            }
            if !letters.contains(&letter) {
                letters.push(letter);
            }
        }
    }
    Ok(Options { letters, dirs: args.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<(String, String), u8> {
        let args = line.split_whitespace().map(OsString::from);
        let options = parse(args, |letter| b"udx".contains(&letter)).map_err(|Illegal(letter)| letter)?;
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
}
