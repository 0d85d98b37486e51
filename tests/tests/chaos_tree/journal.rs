//! What was done, and when: for whoever has to find out what went wrong.

use std::collections::BTreeMap;
use std::fmt::Write;
use unix::tai64n::Tai64n;

/// What was done, with the labels that multilog writes, and how often each kind of it.
#[derive(Debug, Default)]
pub struct Journal {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Journal {
    /// Notes one thing that was done.
    pub fn note(&mut self, kind: &'static str, to: impl std::fmt::Display) {
        *self.counts.entry(kind).or_default() += 1;
        let label = Tai64n::now().label();
        self.lines.push(format!("{} {kind} {to}", String::from_utf8_lossy(&label)));
    }

    /// How often each kind of thing was done.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// The last `most` lines.
    pub fn last(&self, most: usize) -> String {
        let mut text = String::new();
        for line in &self.lines[self.lines.len().saturating_sub(most)..] {
            // Writing to a string never fails.
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
