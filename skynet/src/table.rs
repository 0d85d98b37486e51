//! A table for people: columns as wide as they need, the less important left out where the terminal is narrow.

use crate::paint::{self, Colour};
use crate::say::one_line;
use std::io::IsTerminal;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// Whether its cells stand at its right edge: numbers.
    pub right: bool,
    /// Where there is no room the highest goes first; 0 always stays.
    pub rank: u8,
}

/// A cell: one line, whatever its words hold.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// Text in the usual colour.
    pub fn plain(text: impl ToString) -> Self {
        Self { text: one_line(&text.to_string()), colour: None }
    }

    /// Text in a colour, where colours are wanted.
    pub fn coloured(text: impl ToString, colour: Colour) -> Self {
        Self { colour: Some(colour), ..Self::plain(text) }
    }

    /// A number, or `-` where there is none to tell.
    pub fn number(number: Option<impl ToString>) -> Self {
        Self::plain(number.map_or_else(|| "-".to_owned(), |number| number.to_string()))
    }
}

/// How many characters go into a line of the terminal; `None` where standard output is no terminal.
pub fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Of words in the last column, as of an error, so many letters are better than none.
const SOME_WORDS: usize = 16;

/// The table as text, each line with its newline.
pub fn render(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>, colours: bool) -> String {
    let wide = |i: usize| rows.iter().map(|row| row[i].text.chars().count()).max().unwrap_or(0);
    let mut widths: Vec<_> = (0..columns.len()).map(|i| wide(i).max(columns[i].head.len())).collect();
    let whole = widths.last().copied().unwrap_or_default();
    if let (Some(column), Some(last)) = (columns.last(), widths.last_mut())
        && !column.right
        && column.rank > 0
    {
        *last = whole.min(SOME_WORDS);
    }
    let room = width.unwrap_or(usize::MAX);
    let shown = fitting(columns, &widths, room);
    if shown.last() == Some(&(columns.len() - 1)) {
        let others: usize = shown.iter().rev().skip(1).map(|i| widths[*i] + 2).sum();
        widths[columns.len() - 1] = whole.min(room.saturating_sub(others));
    }
    let line = |cells: &[Cell]| {
        let cell = |i: &usize| pad(&cells[*i], widths[*i], columns[*i].right, colours);
        shown.iter().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<_> = columns.iter().map(|column| Cell::plain(column.head)).collect();
    std::iter::once(line(&head)).chain(rows.iter().map(|row| line(row))).collect()
}

/// Which columns fit into a line: the most important first, and of the others those for which there is room left.
fn fitting(columns: &[Column], widths: &[usize], width: usize) -> Vec<usize> {
    let mut ranked: Vec<_> = (0..columns.len()).collect();
    ranked.sort_by_key(|i| columns[*i].rank);
    let (mut shown, mut needed) = (vec![], 0);
    for i in ranked {
        let gap = if shown.is_empty() { 0 } else { 2 };
        if columns[i].rank == 0 || needed + gap + widths[i] <= width {
            needed += gap + widths[i];
            shown.push(i);
        }
    }
    shown.sort_unstable();
    shown
}

fn pad(cell: &Cell, width: usize, right: bool, colours: bool) -> String {
    let length = cell.text.chars().count();
    let space = " ".repeat(width.saturating_sub(length));
    let text = match length > width {
        true => cell.text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => cell.text.clone(),
    };
    let text = match cell.colour {
        Some(colour) => paint::paint(colours, colour, &text),
        None => text,
    };
    if right { space + &text } else { text + &space }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_the_last_column_are_cut_where_there_is_room_for_some() {
        let columns =
            [Column { head: "NAME", right: false, rank: 0 }, Column { head: "ERROR", right: false, rank: 1 }];
        let rows = vec![vec![Cell::plain("sizer"), Cell::plain("ValueError: no such thing as that")]];
        let at = |width| render(&columns, &rows, width, false);
        assert_eq!(at(None), "NAME   ERROR\nsizer  ValueError: no such thing as that\n");
        assert_eq!(at(Some(24)), "NAME   ERROR\nsizer  ValueError: no s…\n");
        assert_eq!(at(Some(22)), "NAME\nsizer\n");
    }

    #[test]
    fn a_narrow_terminal_gets_the_most_important_columns() {
        let columns = [
            Column { head: "NAME", right: false, rank: 0 },
            Column { head: "STATE", right: false, rank: 1 },
            Column { head: "PID", right: true, rank: 3 },
            Column { head: "DONE", right: true, rank: 2 },
        ];
        let rows = vec![
            vec![
                Cell::plain("sizer"),
                Cell::coloured("up", Colour::Good),
                Cell::plain(7),
                Cell::number(Some(12)),
            ],
            vec![Cell::plain("größe"), Cell::plain("down"), Cell::number(None::<u8>), Cell::plain(3)],
        ];
        let at = |width| render(&columns, &rows, width, false);
        assert_eq!(at(None), "NAME   STATE  PID  DONE\nsizer  up       7    12\ngröße  down     -     3\n");
        assert_eq!(at(Some(18)), "NAME   STATE  DONE\nsizer  up       12\ngröße  down      3\n");
        assert_eq!(at(Some(13)), "NAME   STATE\nsizer  up\ngröße  down\n");
        assert_eq!(
            at(Some(11)),
            "NAME   DONE\nsizer    12\ngröße     3\n",
            "what does not fit keeps nothing out"
        );
        assert_eq!(at(Some(3)), "NAME\nsizer\ngröße\n");
        assert!(
            render(&columns, &rows, None, true).contains("\x1b[32mup\x1b[0m     "),
            "padded outside the colour"
        );
    }
}
