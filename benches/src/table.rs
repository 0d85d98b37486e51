//! The table that is printed: a line per row, figures and their ratio.

use std::fmt;

/// The heading.
pub const HEAD: &str = "row                                         ours   reference      ratio  goal";

/// One line of the table.
pub struct Line {
    /// What was measured, with its unit.
    pub what: String,
    /// Our figure.
    pub ours: f64,
    /// The figure it is held against.
    pub reference: f64,
    /// What the ratio ours / reference should be.
    pub goal: &'static str,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.ours / self.reference;
        write!(
            f,
            "{:<38} {:>9.2} {:>11.2} {ratio:>10.2}  {}",
            self.what, self.ours, self.reference, self.goal
        )
    }
}

/// The median of some figures; zero where there is none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
