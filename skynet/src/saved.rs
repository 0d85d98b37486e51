//! Which file of a participant was saved.

use crate::waiting::Waiting;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// When nothing has been written for so long, saving is over.
const QUIET: Duration = Duration::from_millis(50);
/// How deep folders of a participant are watched.
const DEEPEST: usize = 4;

/// When each file was written, and its size: a save changes that.
type Print = BTreeMap<PathBuf, (SystemTime, u64)>;

/// The files of a participant as they were looked at last.
pub struct Files {
    dir: PathBuf,
    print: Print,
}

impl Files {
    /// Looks at them; what happens to them wakes `waiting` from now on.
    pub fn look(dir: &Path, waiting: &Waiting) -> Self {
        Self { dir: dir.to_path_buf(), print: print(dir, waiting) }
    }

    /// Which file was saved, made or removed since.
    pub fn changed(&mut self, waiting: &Waiting) -> Option<String> {
        let now = print(&self.dir, waiting);
        if now == self.print {
            return None;
        }
        let before = std::mem::replace(&mut self.print, now);
        self.settle();
        let path = saved(&before, &self.print)?;
        Some(path.strip_prefix(&self.dir).unwrap_or(path).display().to_string())
    }

    /// Waits until what is being saved has been saved: editors truncate, write and rename.
    fn settle(&mut self) {
        let waiting = Waiting::at_most(QUIET);
        let _ = print(&self.dir, &waiting);
        let mut until = Instant::now() + QUIET;
        while Instant::now() < until {
            waiting.next();
            let now = print(&self.dir, &waiting);
            if now != self.print {
                self.print = now;
                until = Instant::now() + QUIET;
            }
        }
    }
}

/// Which file is another than before; what an editor made for a moment while it saved is none.
fn saved<'a>(before: &'a Print, after: &'a Print) -> Option<&'a PathBuf> {
    after.keys().chain(before.keys()).find(|path| before.get(*path) != after.get(*path))
}

fn print(dir: &Path, waiting: &Waiting) -> Print {
    let mut print = Print::new();
    collect(dir, 0, waiting, &mut print);
    print
}

fn collect(dir: &Path, depth: usize, waiting: &Waiting, print: &mut Print) {
    waiting.watch(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if is_left_behind(&name) {
            continue;
        }
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_dir() && depth < DEEPEST {
            collect(&path, depth + 1, waiting, print);
        } else if meta.is_file() {
            print.insert(path, (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()));
        }
    }
}

/// Whether editors, Python, or the participant itself leave such a file or folder behind.
fn is_left_behind(name: &str) -> bool {
    name.starts_with('.')
        || ["~", ".pyc", ".log"].iter().any(|end| name.ends_with(end))
        || ["__pycache__", "log", "supervise"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print_of(files: &[(&str, u64)]) -> Print {
        files.iter().map(|(name, size)| (PathBuf::from(name), (SystemTime::UNIX_EPOCH, *size))).collect()
    }

    #[test]
    fn a_save_is_named_after_the_file_and_what_came_and_went_is_none() {
        let before = [("config.exo", 1), ("sizer.py", 1)];
        for (after, name) in [
            (&[("config.exo", 1), ("sizer.py", 2)][..], Some("sizer.py")),
            (&[("config.exo", 1), ("new.py", 7), ("sizer.py", 1)], Some("new.py")),
            (&[("sizer.py", 1)], Some("config.exo")),
            (&before, None),
        ] {
            assert_eq!(saved(&print_of(&before), &print_of(after)), name.map(PathBuf::from).as_ref());
        }
    }
}
