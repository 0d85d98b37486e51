//! `skynet status [NAME…]`: a table of participants, with systemctl's exit codes.

use crate::paint::{self, Colour};
use crate::say::say;
use crate::service::{Condition, Service};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble};
use std::time::Duration;

/// Exit codes: all up; something is down; no such participant.
const ALL_UP: u8 = 0;
const SOMETHING_DOWN: u8 = 3;
const NO_SUCH: u8 = 4;

/// Prints the table.
pub fn run(tree: &Tree, names: &[String]) -> Outcome {
    let picked = match tree.pick(names) {
        Err(Trouble::NoSuch(line)) => {
            eprintln!("skynet: {line}");
            return Ok(NO_SUCH);
        }
        picked => picked?,
    };
    if picked.is_empty() {
        say!("no participant in {} (next: skynet new NAME, skynet enable ./NAME)", tree.scan_dir().display());
        return Ok(ALL_UP);
    }
    let services: Vec<_> = picked.iter().map(|name| (name, Service::look(&tree.service(name)))).collect();
    let width = picked.iter().map(String::len).max().unwrap_or(0).max(4);
    say!("{:width$}  {:12}  {:>9}  {:>7}  NORMALLY", "NAME", "STATE", "SINCE", "PID");
    for (name, service) in &services {
        say!("{}", row(name, service, width));
    }
    let all_up = services.iter().all(|(_, service)| matches!(service.condition(), Condition::Up(_)));
    Ok(if all_up { ALL_UP } else { SOMETHING_DOWN })
}

fn row(name: &str, service: &Service, width: usize) -> String {
    let condition = service.condition();
    let (word, pid, colour) = say(condition);
    let age = match condition {
        Condition::Unsupervised => String::new(),
        _ => service.age().map_or_else(String::new, age),
    };
    let word = paint::paint(paint::wanted(), colour, format!("{word:12}"));
    let pid = pid.map_or_else(String::new, |pid| pid.to_string());
    format!("{name:width$}  {word}  {age:>9}  {pid:>7}  {}", if service.enabled { "up" } else { "down" })
}

/// The state in a word or two, for a sentence.
pub fn words(service: &Service) -> String {
    match say(service.condition()) {
        (word, Some(pid), _) => format!("{word} (pid {pid})"),
        (word, None, _) => word.to_owned(),
    }
}

fn say(condition: Condition) -> (&'static str, Option<i32>, Colour) {
    match condition {
        Condition::Unsupervised => ("unsupervised", None, Colour::Bad),
        Condition::Down => ("down", None, Colour::Odd),
        Condition::Restarting => ("restarting", None, Colour::Bad),
        Condition::Stopping(pid) => ("stopping", Some(pid), Colour::Odd),
        Condition::Paused(pid) => ("paused", Some(pid), Colour::Odd),
        Condition::Up(pid) => ("up", Some(pid), Colour::Good),
    }
}

/// `7s`, `3m 20s`, `2h 5m`, `3d 4h`.
fn age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_by_its_two_largest_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (7500, "2h 5m"), (273_600, "3d 4h")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
