//! What is said of a fault of our own: one line in the log, and words for the next process where this one ends by it.

use crate::log::{self, Level};
use state::lines::Lines;
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How such words begin.
pub const INTERNAL: &str = "internal error: ";
/// How it shows that a descriptor of ours was closed: the system says that it is none, or the runtime finds the pipe by
/// which it hears of signals without its other end.
const CLOSED: [&str; 2] = ["Bad file descriptor", "EOF on self-pipe"];

/// From now on panics are told so. A handler may have closed everything: the line goes to standard output as it is now,
/// the words to a file that is opened for them; what follows from that is not told.
pub fn tell(name: &str, format: &str, lines: Arc<Lines>) {
    let (name, format) = (name.to_owned(), format.to_owned());
    let closed = AtomicBool::new(false);
    panic::set_hook(Box::new(move |fault| {
        if closed.load(Ordering::SeqCst) {
            return;
        }
        let place = fault.location().map_or_else(String::new, |at| place(at.file(), at.line()));
        let said = fault.payload();
        let fixed = said.downcast_ref::<&str>().copied();
        let said = fixed.or_else(|| said.downcast_ref::<String>().map(String::as_str));
        let text = words(said.unwrap_or("no words"), &place);
        // Several threads may come to it at the same time.
        if is_closed(&text) && closed.swap(true, Ordering::SeqCst) {
            return;
        }
        print!("{}", log::at_once(&name, &format, Level::ERROR, &text));
        lines.say_fault(&text);
    }));
}

fn words(said: &str, place: &str) -> String {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = match is_closed(&said) {
        true => {
            "; a descriptor of exo's own was closed: a handler may close 0 to 2, and what it opened itself"
        }
        false => "",
    };
    format!("{INTERNAL}{said} ({place}){hint}")
}

fn is_closed(said: &str) -> bool {
    CLOSED.iter().any(|words| said.contains(words))
}

/// The file's last parts: where it lay when it was built says nothing here.
fn place(file: &str, line: u32) -> String {
    let parts: Vec<_> = Path::new(file).iter().map(|part| part.to_string_lossy()).collect();
    let crate_at = parts.iter().rposition(|part| part == "src").map_or(0, |at| at.saturating_sub(1));
    format!("{}:{line}", parts[crate_at..].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_in_a_line_with_its_place_and_what_a_handler_may_not_close() {
        assert_eq!(
            place("/x/registry/src/index-1/tokio-1.54/src/io/driver.rs", 279),
            "tokio-1.54/src/io/driver.rs:279"
        );
        assert_eq!(place("exo/src/session.rs", 7), "exo/src/session.rs:7");
        assert_eq!(words("a\n  b", "x.rs:1"), "internal error: a b (x.rs:1)");
        for said in ["cannot wake: Os { code: 9, message: \"Bad file descriptor\" }", "EOF on self-pipe"] {
            let closed = words(said, "x.rs:1");
            assert!(closed.ends_with("(x.rs:1); a descriptor of exo's own was closed: a handler may close 0 to 2, and what it opened itself"));
        }
    }
}
