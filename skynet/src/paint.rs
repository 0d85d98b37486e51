//! Colours, on a terminal only and never where `NO_COLOR` is set (<https://no-color.org>).

use std::fmt::Display;
use std::io::IsTerminal;

/// A colour by its meaning.
#[derive(Clone, Copy, Debug)]
pub enum Colour {
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
    /// Something to look at.
    Odd,
    /// One of several voices, told apart by number.
    Voice(usize),
}

/// Whether standard output may be coloured.
pub fn wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}

/// `text` in a colour, if colours are wanted.
pub fn paint(wanted: bool, colour: Colour, text: impl Display) -> String {
    let code = match colour {
        Colour::Good => 32,
        Colour::Bad => 31,
        Colour::Odd => 33,
        Colour::Voice(n) => [36, 35, 34, 33, 32][n % 5],
    };
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}
