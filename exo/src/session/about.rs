//! What is told of a failure besides the workitem: what was said for it, how processes ended, what everything ran on.

use crate::fault::INTERNAL;
use config::Settings;
use sha2::{Digest, Sha256};
use state::failed::environment;
use state::journal::Attempt;
use state::lines::Line;
use state::moment;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use workitem::compose::timestamp;

/// So many bytes of what was said are kept with a failure, the last.
const LOG: usize = 64 << 10;
/// How faulthandler begins.
const FATAL: &str = "Fatal Python error: ";
/// Why a process ended of which the journal does not know.
const ELSEWHERE: &str = "as the broker counts; the journal here knows of no end";
/// How the lines of ours begin that tell of a call which ends the process.
const CALLS: [&str; 2] = ["os._exit(", "os.closerange("];

/// How the processes ended that had a workitem in hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// Why the last of them ended, in a few words.
    pub cause: String,
    /// What they said for the workitem.
    pub log: String,
    /// What the last of them said of its fault: the interpreter's traceback.
    pub fault: String,
}

impl LastWords {
    /// `said` tells of a process what it said for the workitem, and of a fault.
    pub fn of(attempts: &[Attempt], said: impl Fn(&Attempt) -> (Vec<Line>, String)) -> Self {
        let mut words = Self { cause: ELSEWHERE.into(), ..Self::default() };
        for (n, attempt) in attempts.iter().enumerate() {
            let (lines, fault) = said(attempt);
            let _ = writeln!(words.log, "attempt {}, process {}:", n + 1, attempt.pid);
            words.log += &log(&lines);
            words.cause = cause(&lines, &fault);
            words.fault = fault;
        }
        words.log = last(&words.log);
        words
    }
}

/// Why a process ended, in a few words.
fn cause(lines: &[Line], fault: &str) -> String {
    if let Some(fatal) = fault.lines().find_map(|line| line.strip_prefix(FATAL)) {
        return fatal.to_owned();
    }
    let ends = |line: &&Line| CALLS.iter().any(|call| line.text.starts_with(call));
    if let Some((call, _)) = lines.iter().rev().find(ends).and_then(|line| line.text.split_once(" was")) {
        return format!("by {call}");
    }
    let own = fault.lines().find(|line| line.starts_with(INTERNAL));
    own.unwrap_or("without a word: killed, or out of memory").to_owned()
}

/// The lines as a text.
pub fn log(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { time, level, text: said } in lines {
        let _ = writeln!(text, "{} {level:>5} {said}", timestamp(moment::time(*time)));
    }
    last(&text)
}

/// The last lines of a text that is too long.
fn last(text: &str) -> String {
    let Some(too_many) = text.len().checked_sub(LOG) else { return text.to_owned() };
    let from = text.as_bytes().iter().skip(too_many).position(|byte| *byte == b'\n');
    from.and_then(|from| text.get(too_many + from + 1..)).unwrap_or_default().to_owned()
}

/// SkyNET, the system, the handler's file and what `workers` say of themselves.
pub fn versions(settings: &Settings, workers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let handler = settings.exec.first().map_or(settings.code.as_path(), Path::new);
    let own = [
        ("skynet", env!("CARGO_PKG_VERSION").to_owned()),
        ("system", os.trim_matches('"').to_owned()),
        ("kernel", kernel.trim().to_owned()),
        ("handler", describe(handler)),
    ];
    own.into_iter().map(|(name, version)| (name.to_owned(), version)).chain(workers).collect()
}

/// A file, with what tells its versions apart.
fn describe(file: &Path) -> String {
    let changed = std::fs::metadata(file).and_then(|meta| meta.modified());
    match (changed, std::fs::read(file)) {
        (Ok(changed), Ok(text)) => {
            let digest = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("{}, changed {}, SHA-256 {digest}", file.display(), timestamp(changed))
        }
        _ => file.display().to_string(),
    }
}

/// The environment of this process, without secrets.
pub fn variables() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    environment(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { time: 1, level: "INFO".into(), text: text.into() }
    }

    #[test]
    fn the_cause_is_told_as_far_as_the_process_could_say() {
        let exit = "os._exit(3) was called, which ends the process at once:";
        let closed = "os.closerange(3, 9) was called, which closes what exo works with:";
        for (said, fault, cause) in [
            ("begun", "Fatal Python error: Segmentation fault\n\nThread", "Segmentation fault"),
            (exit, "", "by os._exit(3)"),
            (closed, "internal error: x (y)\n", "by os.closerange(3, 9)"),
            ("begun", "internal error: x (y)\n", "internal error: x (y)"),
            ("begun", "", "without a word: killed, or out of memory"),
        ] {
            let attempt = Attempt { started: 1, pid: 7, alone: true };
            let words = LastWords::of(&[attempt, attempt], |_| (vec![line(said), line("y")], fault.into()));
            assert_eq!((words.cause.as_str(), words.fault.as_str()), (cause, fault));
            let said = format!(
                "1970-01-01 00:00:00.000001 UTC  INFO {said}\n1970-01-01 00:00:00.000001 UTC  INFO y\n"
            );
            assert_eq!(words.log, format!("attempt 1, process 7:\n{said}attempt 2, process 7:\n{said}"));
        }
        assert_eq!(LastWords::of(&[], |_| unreachable!()).cause, ELSEWHERE);
    }

    #[test]
    fn of_what_is_long_the_last_whole_lines_are_kept() {
        let long: Vec<_> = (0..2000).map(|n| line(&format!("{n} {}", "ü".repeat(50)))).collect();
        let text = log(&long);
        assert!(
            text.len() <= LOG
                && text.len() > LOG - 200
                && text.ends_with(&format!("1999 {}\n", "ü".repeat(50)))
        );
        assert!(text.starts_with("1970-"), "{}", &text[..50]);
        assert_eq!(last(&"x".repeat(2 * LOG)), "");
    }

    #[test]
    fn the_handlers_file_is_told_with_its_digest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "x = 1\n").unwrap();
        let told = describe(file.path());
        assert!(
            told.contains(", changed 20")
                && told.ends_with("SHA-256 9e26bf369911c45c243c684147b23fc9e1dcfcf257d299a1c632016a6fcd33f4"),
            "{told}"
        );
        assert_eq!(describe(Path::new("/nowhere")), "/nowhere");
    }
}
