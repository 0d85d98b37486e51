//! A line of a log as people see it: time, whose, and the text byte for byte.

use super::reader::Line;
use crate::paint::{self, Colour};
use std::collections::HashMap;
use std::io::{self, BufWriter, Stdout, Write};
use unix::tai64n::Tai64n;
use workitem::compose::timestamp;

/// Prints those lines that are wanted.
pub struct Printer {
    out: BufWriter<Stdout>,
    names: bool,
    colours: bool,
    wfid: Option<memchr::memmem::Finder<'static>>,
    voices: HashMap<String, usize>,
}

impl Printer {
    /// With `names` each line says whose it is; with a `wfid` only lines that contain it are wanted.
    pub fn new(names: bool, wfid: Option<&str>) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            names,
            colours: paint::wanted(),
            wfid: wfid.map(|wfid| memchr::memmem::Finder::new(wfid).into_owned()),
            voices: HashMap::new(),
        }
    }

    /// Whether this line is wanted.
    pub fn wants(&self, line: &Line) -> bool {
        self.wfid.as_ref().is_none_or(|wfid| wfid.find(&line.text).is_some())
    }

    /// Prints the line of `name` if it is wanted.
    ///
    /// # Errors
    /// What writing reports; `BrokenPipe` when nobody reads any more.
    pub fn print(&mut self, name: &str, line: &Line) -> io::Result<()> {
        if !self.wants(line) {
            return Ok(());
        }
        if let Some(at) = line.at {
            write!(self.out, "{} ", time(at))?;
        }
        if self.names {
            let next = self.voices.len();
            let voice = *self.voices.entry(name.to_owned()).or_insert(next);
            write!(self.out, "{}: ", paint::paint(self.colours, Colour::Voice(voice), name))?;
        }
        self.out.write_all(&line.text)?;
        self.out.write_all(b"\n")
    }

    /// Hands on what has been printed so far.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// ISO 8601 in UTC, to the microsecond.
fn time(at: Tai64n) -> String {
    let Some(time) = at.to_system_time() else { return "(no time)".to_owned() };
    timestamp(time).replacen(' ', "T", 1).replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_shown_as_iso_8601_in_utc() {
        let at = Tai64n::from_label(b"@400000006553f10a075bcd15").unwrap();
        assert_eq!(time(at), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn a_line_is_wanted_when_it_contains_the_wfid() {
        let line = |text: &[u8]| Line { at: None, text: text.to_owned() };
        let printer = Printer::new(false, Some("2026-x"));
        assert!(printer.wants(&line(b"\xff [2026-x] hello")));
        assert!(!printer.wants(&line(b"[2026-y] hello")));
        assert!(Printer::new(false, None).wants(&line(b"")));
    }
}
