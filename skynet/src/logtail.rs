//! The end of one log, to show beside a failure.

use crate::say::one_line;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use unix::tai64n::Tai64n;

const ENOUGH: u64 = 8192;
/// What a program says when it gives up; what follows explains it.
const FATAL: &str = ": fatal: ";
/// So many lines of that are enough.
const EXPLANATION: usize = 20;

/// What was said last for which a program gave up, else the last `count` lines of the log in `dir`; each on a line
/// of its own and indented; empty when there is none.
pub fn last_lines(dir: &Path, count: usize) -> String {
    let read = || {
        let mut file = File::open(dir.join("current"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(ENOUGH)))?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    indent(&read().unwrap_or_default(), count)
}

fn indent(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().collect();
    let fatal = lines.iter().rposition(|line| line.contains(FATAL));
    let first = fatal.unwrap_or(lines.len().saturating_sub(count));
    let most = if fatal.is_some() { EXPLANATION } else { count };
    lines[first..].iter().take(most).map(|line| format!("\n  {}", one_line(without_label(line)))).collect()
}

fn without_label(line: &str) -> &str {
    match Tai64n::from_label(line.as_bytes()) {
        Some(_) => line.get(26..).unwrap_or_default(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_lines_are_shown_without_their_labels() {
        let log = b"@400000006553f10a075bcd15 one\nbare\n@400000006553f10a075bcd15 \xff\n";
        assert_eq!(super::indent(log, 2), "\n  bare\n  \u{fffd}");
        assert_eq!(super::indent(log, 9), "\n  one\n  bare\n  \u{fffd}");
        assert_eq!(super::indent(b"", 3), "");
        assert_eq!(super::indent(b"\x1b[31mred\n", 3), "\n   [31mred");
    }

    #[test]
    fn what_led_to_the_end_is_shown_and_nothing_of_the_end_before() {
        let log = b"exo: fatal: old\n  a line of it\nexo: fatal: new\n  why\n";
        assert_eq!(super::indent(log, 8), "\n  exo: fatal: new\n    why");
    }
}
