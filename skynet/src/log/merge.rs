//! Several logs as one, in the order of time; each log's own order is kept.

use super::reader::{Line, Reader};
use std::io;

/// Hands every line of all readers to `take`, the oldest first; of equals, those of the first reader first.
///
/// # Errors
/// What reading or `take` reports.
pub fn merge(
    readers: &mut [Reader],
    end: bool,
    mut take: impl FnMut(&Reader, Line) -> io::Result<()>,
) -> io::Result<()> {
    let mut heads = vec![];
    for reader in readers.iter_mut() {
        heads.push(reader.next(end)?);
    }
    while let Some(oldest) = oldest(&heads) {
        let line = heads[oldest].take();
        heads[oldest] = readers[oldest].next(end)?;
        if let Some(line) = line {
            take(&readers[oldest], line)?;
        }
    }
    Ok(())
}

/// Which of the next lines is the oldest.
fn oldest(heads: &[Option<Line>]) -> Option<usize> {
    let there = heads.iter().enumerate().filter_map(|(i, head)| Some((i, head.as_ref()?.at)));
    there.min_by_key(|(_, at)| *at).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};
    use unix::tai64n::Tai64n;

    fn log(dir: &Path, name: &str, lines: &[(u64, &str)]) -> Reader {
        let dir = dir.join(name);
        fs::create_dir(&dir).unwrap();
        let label = |at: u64| Tai64n::from(UNIX_EPOCH + Duration::from_secs(at)).label();
        let text: Vec<_> = lines
            .iter()
            .map(|(at, text)| format!("{} {text}\n", String::from_utf8_lossy(&label(*at))))
            .collect();
        fs::write(dir.join("current"), text.concat()).unwrap();
        Reader::open(&dir, name.to_owned()).unwrap()
    }

    #[test]
    fn logs_are_merged_by_time_and_each_keeps_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut readers = [
            log(dir.path(), "a", &[(1, "a1"), (5, "a5"), (3, "a3")]),
            log(dir.path(), "b", &[(1, "b1"), (4, "b4"), (9, "b9")]),
            log(dir.path(), "c", &[]),
        ];
        let mut merged = vec![];
        merge(&mut readers, true, |reader, line| {
            merged.push(format!("{} {}", reader.name, String::from_utf8_lossy(&line.text)));
            Ok(())
        })
        .unwrap();
        assert_eq!(merged, ["a a1", "b b1", "b b4", "a a5", "a a3", "b b9"]);
    }
}
