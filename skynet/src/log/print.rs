//! A line of a log as people see it: time, whose, and the text byte for byte; or as JSON.

use crate::paint::{self, Colour};
use crate::units::iso;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use unix::tai64n::Tai64n;

/// Prints lines.
pub struct Printer {
    out: BufWriter<Stdout>,
    names: bool,
    json: bool,
    terminal: bool,
    colours: bool,
    voices: HashMap<String, usize>,
    /// How many lines so far.
    pub printed: u64,
}

impl Printer {
    /// With `names` each line says whose it is.
    pub fn new(names: bool, json: bool) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, io::stdout());
        let terminal = io::stdout().is_terminal();
        Self { out, names, json, terminal, colours: paint::wanted(), voices: HashMap::new(), printed: 0 }
    }

    /// Prints a line of `name`.
    ///
    /// # Errors
    /// What writing reports; `BrokenPipe` when nobody reads any more.
    pub fn print(&mut self, name: &str, at: Option<Tai64n>, text: &[u8]) -> io::Result<()> {
        self.printed += 1;
        if self.json {
            let line = json!({
                "time": at.map(time),
                "participant": name,
                "text": String::from_utf8_lossy(text),
            });
            return writeln!(self.out, "{line}");
        }
        if let Some(at) = at {
            write!(self.out, "{} ", time(at))?;
        }
        if self.names {
            let next = self.voices.len();
            let voice = *self.voices.entry(name.to_owned()).or_insert(next);
            write!(self.out, "{}: ", paint::paint(self.colours, Colour::Voice(voice), name))?;
        }
        match self.terminal {
            true => self.out.write_all(&harmless(text))?,
            false => self.out.write_all(text)?,
        }
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

/// A participant's words do not play with the terminal: control characters are shown as `^[`.
fn harmless(text: &[u8]) -> Cow<'_, [u8]> {
    let control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if !text.iter().any(|byte| control(*byte)) {
        return Cow::Borrowed(text);
    }
    let shown = |byte: &u8| match control(*byte) {
        true => vec![b'^', byte ^ 0x40],
        false => vec![*byte],
    };
    Cow::Owned(text.iter().flat_map(shown).collect())
}

/// ISO 8601 in UTC, to the microsecond.
pub fn time(at: Tai64n) -> String {
    let Some(time) = at.to_system_time() else { return "(no time)".to_owned() };
    iso(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_control_characters_are_shown_and_not_done() {
        assert_eq!(*harmless(b"a\tb \xff"), *b"a\tb \xff");
        assert_eq!(*harmless(b"\x1b[31mred\0\x7f"), *b"^[[31mred^@^?");
    }

    #[test]
    fn a_label_is_shown_as_iso_8601_in_utc() {
        let at = Tai64n::from_label(b"@400000006553f10a075bcd15").unwrap();
        assert_eq!(time(at), "2023-11-14T22:13:20.123456Z");
    }
}
