//! The control letters, one row each: `svc`'s options, supervise's reader and the manual come from this table.

use unix::process::Signal;

/// What a control letter asks of supervise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Want the service up; start it if it is down.
    Up,
    /// Want the service down; if it runs, send TERM and then CONT.
    Down,
    /// Want nothing further; start the service if it is down.
    Once,
    /// Want nothing further; start nothing.
    AtMostOnce,
    /// Want the service up, by another process: stop it if it runs, then start it.
    Restart,
    /// Send STOP.
    Pause,
    /// Send CONT.
    Continue,
    /// Send this signal.
    Signal(Signal),
    /// Exit as soon as the service is down.
    Exit,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The letter in the FIFO, and `svc`'s option.
    pub letter: u8,
    /// What it asks.
    pub command: Command,
    /// Its name in the line that lists `svc`'s options.
    pub name: &'static str,
}

/// All letters: those of daemontools in the order in which it lists them, then those of its successors.
pub const TABLE: [Row; 18] = [
    row(b'u', Command::Up, "up"),
    row(b'd', Command::Down, "down"),
    row(b'o', Command::Once, "once"),
    row(b'x', Command::Exit, "exit"),
    row(b'p', Command::Pause, "pause"),
    row(b'c', Command::Continue, "continue"),
    row(b'h', Command::Signal(Signal::SIGHUP), "hup"),
    row(b'a', Command::Signal(Signal::SIGALRM), "alarm"),
    row(b'i', Command::Signal(Signal::SIGINT), "interrupt"),
    row(b't', Command::Signal(Signal::SIGTERM), "term"),
    row(b'k', Command::Signal(Signal::SIGKILL), "kill"),
    row(b'q', Command::Signal(Signal::SIGQUIT), "quit"),
    row(b'1', Command::Signal(Signal::SIGUSR1), "usr1"),
    row(b'2', Command::Signal(Signal::SIGUSR2), "usr2"),
    row(b'w', Command::Signal(Signal::SIGWINCH), "winch"),
    row(b'y', Command::Signal(Signal::SIGWINCH), "winch"),
    row(b'O', Command::AtMostOnce, "at most once"),
    row(b'r', Command::Restart, "restart"),
];

const fn row(letter: u8, command: Command, name: &'static str) -> Row {
    Row { letter, command, name }
}

impl Command {
    /// Reads a letter; `None` for one that has no meaning (supervise ignores it).
    pub fn from_letter(letter: u8) -> Option<Self> {
        TABLE.iter().find(|row| row.letter == letter).map(|row| row.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(command: Command) -> String {
        match command {
            Command::Up => "want the service up; start it if it is down".into(),
            Command::Down => {
                "want it down; ask it to stop (TERM, then CONT), and its start is given up".into()
            }
            Command::Once => "want nothing further; start it if it is down".into(),
            Command::AtMostOnce => "want nothing further; start nothing".into(),
            Command::Restart => "want it up, by another process: ask it to stop, then start it".into(),
            Command::Pause => "send STOP".into(),
            Command::Continue => "send CONT".into(),
            Command::Signal(signal) => format!("send {}", &signal.as_str()[3..]),
            Command::Exit => "exit as soon as the service is down; cannot be taken back".into(),
        }
    }

    #[test]
    fn the_manual_has_the_table_of_letters() {
        let mut table = String::from("| letter | name | meaning |\n|---|---|---|\n");
        for row in TABLE {
            let letter = char::from(row.letter);
            table += &format!("| `{letter}` | {} | {} |\n", row.name, meaning(row.command));
        }
        let manual = include_str!("../../docs/reference/control.md");
        assert!(manual.contains(&table), "put this into docs/reference/control.md:\n{table}");
    }

    #[test]
    fn no_letter_stands_in_two_rows() {
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|r| r.letter == row.letter).count(), 1);
            assert_eq!(Command::from_letter(row.letter), Some(row.command));
        }
    }

    #[test]
    fn an_unknown_letter_has_no_meaning() {
        for letter in [b'z', b'\n', 0, 0xff] {
            assert_eq!(Command::from_letter(letter), None);
        }
    }
}
