//! Tables: a figure per column, in parentheses its ratio to the figure of the row's base; the goal and whether it is
//! reached.

use crate::progress::done;
use std::collections::BTreeMap;
use std::fs;

const WHAT: usize = 44;
const CELL: usize = 17;

/// What our figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At most so much of the base's.
    AtMostOf(f64),
    /// At least so much of the base's.
    AtLeastOf(f64),
    /// Only shown.
    None,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// The figures, by column.
    pub figures: BTreeMap<&'static str, f64>,
    /// The column that ratios are of.
    pub base: &'static str,
    /// What ours should be.
    pub goal: Goal,
}

/// A table that is printed as its rows come.
pub struct Table(&'static [&'static str]);

impl Table {
    /// Prints the heading. The first column is ours.
    pub fn new(title: &str, columns: &'static [&'static str]) -> Self {
        let heads: String = columns.iter().map(|column| format!("{column:>CELL$}")).collect();
        done();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        println!("\n{title:<WHAT$}{heads}  goal (load {load})");
        Self(columns)
    }

    /// Prints a row.
    pub fn row(&self, row: &Row) {
        let cells: String = self.0.iter().map(|column| format!("{:>CELL$}", row.cell(column))).collect();
        done();
        println!("{:<WHAT$}{cells}  {}", row.what, row.verdict(self.0[0]));
    }
}

impl Row {
    /// A row without figures yet.
    pub fn new(what: impl Into<String>, base: &'static str, goal: Goal) -> Self {
        Self { what: what.into(), figures: BTreeMap::new(), base, goal }
    }

    /// Adds a figure.
    pub fn put(&mut self, column: &'static str, figure: f64) {
        self.figures.insert(column, figure);
    }

    fn ratio(&self, column: &str) -> Option<f64> {
        Some(self.figures.get(column)? / self.figures.get(self.base).filter(|base| **base != 0.0)?)
    }

    fn cell(&self, column: &str) -> String {
        match (self.figures.get(column), self.ratio(column)) {
            (None, _) => "-".into(),
            (Some(figure), Some(ratio)) if column != self.base => format!("{} ({ratio:.2})", short(*figure)),
            (Some(figure), _) => short(*figure),
        }
    }

    fn verdict(&self, ours: &str) -> String {
        let (text, reached) = match self.goal {
            Goal::None => return String::new(),
            Goal::AtMost(most) => {
                (format!("<= {}", short(most)), self.figures.get(ours).map(|figure| *figure <= most))
            }
            Goal::AtMostOf(most) => {
                (format!("<= {most} of {}", self.base), self.ratio(ours).map(|ratio| ratio <= most))
            }
            Goal::AtLeastOf(least) => {
                (format!(">= {least} of {}", self.base), self.ratio(ours).map(|ratio| ratio >= least))
            }
        };
        let reached = match reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "not known",
        };
        format!("{text}: {reached}")
    }
}

/// Three digits that count.
fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The figure that this part of all figures is below; zero where there is none.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let at = (figures.len() as f64 * part) as usize; // a place in a list
    figures.get(at.min(figures.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// The middle one of some figures.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, base: f64, goal: Goal) -> Row {
        let mut row = Row::new("x", "peer", goal);
        row.put("ours", ours);
        row.put("peer", base);
        row
    }

    #[test]
    fn a_goal_is_reached_or_missed_by_the_figure_or_by_the_ratio() {
        for (goal, verdict) in [
            (Goal::AtMost(70.0), "<= 70.0: reached"),
            (Goal::AtMost(60.0), "<= 60.0: MISSED"),
            (Goal::AtMostOf(0.75), "<= 0.75 of peer: reached"),
            (Goal::AtMostOf(0.6), "<= 0.6 of peer: MISSED"),
            (Goal::AtLeastOf(0.6), ">= 0.6 of peer: reached"),
            (Goal::AtLeastOf(0.8), ">= 0.8 of peer: MISSED"),
            (Goal::None, ""),
        ] {
            assert_eq!(row(63.0, 93.0, goal).verdict("ours"), verdict);
        }
        assert_eq!(row(63.0, 0.0, Goal::AtMostOf(1.0)).verdict("ours"), "<= 1 of peer: not known");
    }

    #[test]
    fn a_cell_shows_the_figure_and_its_ratio() {
        let row = row(63.04, 93.5, Goal::None);
        assert_eq!([row.cell("ours"), row.cell("peer"), row.cell("s6")], ["63.0 (0.67)", "93.5", "-"]);
    }

    #[test]
    fn a_quantile_is_one_of_the_figures() {
        let figures = [3.0, 1.0, 2.0, 5.0, 4.0];
        assert_eq!([median(&figures), quantile(&figures, 0.9), quantile(&figures, 1.0)], [3.0, 5.0, 5.0]);
        assert_eq!(median(&[]), 0.0);
    }
}
