//! The participant's log: lines that multilog stamps with the time, or JSON with the time in it.
//!
//! Written by a [thread](writer) of their own: a logger that stands still never holds up the AMQP connection and its
//! heartbeats. Lines that had to be dropped for that are counted and said. They go to a copy of standard output, as
//! a handler may close that, or put something else there.

mod writer;

use serde_json::json;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
pub use tracing::Level;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use workitem::compose::timestamp;
pub use writer::Guard;
use writer::Tray;

/// So much of a long line is kept of its beginning, and of its end.
const BEGINNING: usize = 60 << 10;
const END: usize = 4 << 10;

/// Begins to log. Lines are written out when the guard is dropped.
///
/// # Errors
/// When standard output cannot be copied, or no thread started.
pub fn start(name: &str, format: &str) -> io::Result<Guard> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (tray, guard) = writer::start(out)?;
    let lines = Lines {
        name: name.to_owned(),
        json: format == "json",
        tray: Arc::clone(&tray),
        said: AtomicUsize::new(0),
    };
    let subscriber = tracing_subscriber::fmt()
        .event_format(lines)
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(tray)
        .finish();
    // Only a test that starts a second session has one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(guard)
}

/// A line of a process that has no session, or no longer: what is fatal, or, at another level, a warning.
pub fn outside(name: &str, format: &str, level: Level, text: &str) -> String {
    let word = if level == Level::ERROR { "fatal" } else { "warning" };
    match format {
        "json" => entry(name, level, "", &format!("{word}: {text}")),
        _ => format!("exo: {word}: {text}\n"),
    }
}

/// A line of the log, for whoever cannot wait until it is written.
pub fn at_once(name: &str, format: &str, level: Level, text: &str) -> String {
    match format {
        "json" => entry(name, level, "", text),
        _ => format!("{level:>5} {name}: {}\n", visible(text)),
    }
}

/// How a runtime's words on a fault that ends the process are framed, line by line. There is nobody then who could look
/// at a clock: as JSON such lines have no time.
pub fn fault_frame(name: &str, format: &str) -> unix::fault::Frame {
    match format {
        "json" => {
            let mut before = json!({ "level": "ERROR", "participant": name, "message": "" }).to_string();
            let after = before.split_off(before.len() - 2);
            unix::fault::Frame { before, after, quoted: true }
        }
        _ => unix::fault::Frame { before: format!("ERROR {name}: "), after: String::new(), quoted: false },
    }
}

/// A line as JSON.
fn entry(name: &str, level: Level, wfid: &str, text: &str) -> String {
    let now = timestamp(SystemTime::now()).replacen(' ', "T", 1).replace(" UTC", "Z");
    let mut entry = json!({ "time": now, "level": level.as_str(), "participant": name });
    if !wfid.is_empty() {
        entry["wfid"] = wfid.into();
    }
    entry["message"] = text.into();
    format!("{entry}\n")
}

/// The form of our lines.
struct Lines {
    name: String,
    json: bool,
    tray: Arc<Tray>,
    said: AtomicUsize,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let dropped = self.tray.dropped();
        let before = self.said.swap(dropped, Ordering::Relaxed);
        if dropped > before {
            let said = format!(
                "{}: {} lines of the log were dropped: nobody reads them",
                self.name,
                dropped - before
            );
            out.write_str(&self.line(Level::WARN, "", &said))?;
        }
        let mut said = Said::default();
        event.record(&mut said);
        out.write_str(&self.line(*event.metadata().level(), &said.wfid, &said.message))
    }
}

impl Lines {
    /// `LEVEL NAME WFID: TEXT`, of a message `NAME: TEXT`. Names from outside are in there: a line end in one must not
    /// begin a line.
    fn line(&self, level: Level, wfid: &str, message: &str) -> String {
        let text =
            message.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message);
        let text = &*within_bounds(text);
        if !self.json {
            let (gap, name) = (if wfid.is_empty() { "" } else { " " }, &self.name);
            return format!("{level:>5} {name}{gap}{}: {}\n", visible(wfid), visible(text));
        }
        entry(&self.name, level, wfid, text)
    }
}

/// A text without its middle where it is long: an error's text may be, and what follows it says where the rest is.
fn within_bounds(text: &str) -> Cow<'_, str> {
    if text.len() <= BEGINNING + END {
        return text.into();
    }
    let next = |from| (from..).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let (begin, end) = (next(BEGINNING), next(text.len() - END));
    format!("{} … {} bytes … {}", &text[..begin], end - begin, &text[end..]).into()
}

fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// An event: its message, and the wfid that it is about.
#[derive(Default)]
struct Said {
    wfid: String,
    message: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "wfid" {
            value.clone_into(&mut self.wfid);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: bool) -> Lines {
        Lines { name: "sizer".into(), json, tray: Arc::default(), said: AtomicUsize::new(0) }
    }

    #[test]
    fn a_line_end_in_a_name_from_outside_begins_no_line() {
        let line = lines(false).line(Level::INFO, "w\n ERROR sizer w2\u{1b}[31m", "sizer: done\tü\r");
        assert_eq!(line, " INFO sizer w\\n ERROR sizer w2\\u{1b}[31m: done\tü\\r\n");
        assert_eq!(lines(false).line(Level::WARN, "", "other words"), " WARN sizer: other words\n");
    }

    #[test]
    fn a_long_line_is_told_by_its_beginning_and_its_end() {
        let line =
            lines(false).line(Level::ERROR, "w", &format!("sizer: {}; kept in X", "ü".repeat(1 << 20)));
        assert!(line.len() < 70_000 && line.starts_with("ERROR sizer w: üü"), "{} bytes", line.len());
        assert!(line.ends_with("ü; kept in X\n") && line.contains("ü … 2031628 bytes … ü"), "{line}");
    }

    #[test]
    fn what_is_said_without_a_session_has_the_same_form() {
        assert_eq!(outside("sizer", "text", Level::ERROR, "no"), "exo: fatal: no\n");
        assert_eq!(outside("sizer", "text", Level::WARN, "hm"), "exo: warning: hm\n");
        assert_eq!(at_once("sizer", "text", Level::ERROR, "a\nb"), "ERROR sizer: a\\nb\n");
        assert!(at_once("sizer", "json", Level::ERROR, "a").ends_with("\"message\":\"a\"}\n"));
        let line = outside("sizer", "json", Level::ERROR, "a\n\"b\"");
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (entry["level"].as_str(), entry["message"].as_str()),
            (Some("ERROR"), Some("fatal: a\n\"b\""))
        );
        let frame = fault_frame("si\"zer", "json");
        let entry: serde_json::Value =
            serde_json::from_str(&format!("{}text{}", frame.before, frame.after)).unwrap();
        assert_eq!(
            (entry["participant"].as_str(), entry["message"].as_str()),
            (Some("si\"zer"), Some("text"))
        );
    }

    #[test]
    fn json_has_time_level_participant_wfid_and_message() {
        for (said, message, wfid, text) in [
            ("w1", "sizer: done in 3 ms: well", Some("w1"), "done in 3 ms: well"),
            ("", "sizer: stopped", None, "stopped"),
            ("", "other words", None, "other words"),
            ("w\n1: 2", "sizer: x", Some("w\n1: 2"), "x"),
        ] {
            let line = lines(true).line(Level::ERROR, said, message);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((entry["wfid"].as_str(), entry["message"].as_str()), (wfid, Some(text)), "{line}");
            assert_eq!(
                (entry["level"].as_str(), entry["participant"].as_str()),
                (Some("ERROR"), Some("sizer"))
            );
            let time = entry["time"].as_str().unwrap();
            assert!(time.len() == 27 && time.contains('T') && time.ends_with('Z'), "{time}");
        }
    }
}
