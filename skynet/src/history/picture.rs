//! Runs over time, drawn with letters: a bar for each stretch of time, problems red at its foot. Pure.

use crate::paint::{Colour, paint};

const ROWS: u64 = 5;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Room for the scale at the left.
const SCALE: usize = 9;

/// How many stretches of time fit into a line this wide.
pub fn columns(width: usize) -> usize {
    width.saturating_sub(SCALE + 1).clamp(8, 100)
}

/// The lines of the picture. A stretch is how many runs began in it, and how many of them were problems.
pub fn draw(stretches: &[(u64, u64)], ends: &(String, String), colours: bool) -> Vec<String> {
    let most = stretches.iter().map(|(runs, _)| *runs).max().unwrap_or(0).max(1);
    let mut lines = vec![String::new()];
    for row in (0..ROWS).rev() {
        let scale = if row == ROWS - 1 { most.to_string() } else { String::new() };
        let mut line = format!("{scale:>SCALE$} ");
        for (runs, problems) in stretches {
            line += &cell(*runs, *problems, most, row, colours);
        }
        lines.push(line.trim_end().to_owned());
    }
    let (first, mut last) = (short(&ends.0), short(&ends.1));
    if first.len() + last.len() >= stretches.len() {
        // Of the same day the time will do; of another one there is no room to tell.
        let day = |time: &str| time.split('T').next().map(str::to_owned);
        last = last.split('T').nth(1).filter(|_| day(first) == day(last)).unwrap_or_default();
    }
    let room = stretches.len().saturating_sub(first.len() + last.len());
    let times = format!("{:>SCALE$} {first}{}{last}", "runs", " ".repeat(room.max(1)));
    lines.push(times.trim_end().to_owned());
    lines
}

/// One letter: the part of the bar in this row.
fn cell(runs: u64, problems: u64, most: u64, row: u64, colours: bool) -> String {
    let height = |n: u64| (n * ROWS * 8).div_ceil(most);
    let part = |n: u64| usize::try_from(height(n).saturating_sub(row * 8).min(8)).unwrap_or(8);
    let letter = EIGHTHS[part(runs)];
    // Where there are problems in this row they are what is seen.
    if problems > 0 && part(problems) > 0 {
        return paint(colours, Colour::Bad, if colours { letter } else { '!' });
    }
    letter.to_string()
}

/// `2026-11-28T06:11:19`.
fn short(time: &str) -> &str {
    time.split('.').next().unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_there_are_runs_and_problems_stand_at_their_foot() {
        let ends = ("2026-01-01T00:00:00.1Z".to_owned(), "2026-01-02T00:00:00.1Z".to_owned());
        let lines = draw(&[(10, 0), (5, 1), (0, 0), (1, 1)], &ends, false);
        assert_eq!(
            lines,
            [
                "",
                "       10 █",
                "          █",
                "          █▄",
                "          ██",
                "          █! !",
                "     runs 2026-01-01T00:00:00",
            ],
            "there is no room for another day"
        );
        let same_day = (ends.0.clone(), "2026-01-01T12:00:00.1Z".to_owned());
        assert_eq!(draw(&[(1, 0)], &same_day, false)[6], "     runs 2026-01-01T00:00:00 12:00:00");
        let wide = draw(&[(1, 0); 40], &ends, false);
        assert_eq!(wide[6], "     runs 2026-01-01T00:00:00  2026-01-02T00:00:00");
        assert_eq!(draw(&[(0, 0)], &ends, false).len(), 7);
    }
}
