//! What envdir makes of a file's bytes.

use std::io::{self, BufRead, Read};

/// No kernel takes so long a variable: whatever is longer ends in `argument list too long`, without being read.
const ENOUGH: u64 = 1 << 20;

/// The first line, read from the file: `None` when the file is empty.
///
/// # Errors
/// What reading reports.
pub fn first_line(file: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut line = vec![];
    io::BufReader::new(file.take(ENOUGH)).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then_some(line))
}

/// The value in a first line: without the newline and the blanks and tabs at its end; NUL stands for newline.
pub fn of_line(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
    line[..end].iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(file: &[u8]) -> Option<String> {
        let line = first_line(file).unwrap()?;
        Some(String::from_utf8(of_line(&line)).unwrap())
    }

    #[test]
    fn a_value_is_the_first_line_without_blanks_at_its_end() {
        for (file, expected) in [
            ("", None),
            ("\n", Some("")),
            ("  \t\n", Some("")),
            ("a", Some("a")),
            ("a\nb\n", Some("a")),
            ("\na\n", Some("")),
            (" a b \t \n", Some(" a b")),
            ("a\r\n", Some("a\r")),
            ("a\u{b}\u{c}\n", Some("a\u{b}\u{c}")),
            ("a\0b\0\n", Some("a\nb\n")),
            ("a\0 \t\n", Some("a\n")),
        ] {
            assert_eq!(value(file.as_bytes()).as_deref(), expected, "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn a_value_has_no_nul_no_blank_end_and_its_length_is_that_of_the_line_or_less(line: Vec<u8>) {
            let value = of_line(&line);
            prop_assert!(!value.contains(&0));
            prop_assert!(!matches!(value.last(), Some(b' ' | b'\t')));
            prop_assert!(value.len() <= line.len());
        }
    }
}
