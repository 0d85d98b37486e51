//! docs/reference/skynet.md.

use super::{usage, visible};
use crate::cli::help::{self, GROUPS};
use crate::cli::more::{Part, parts};
use clap::{Arg, Command};

/// How wide a page of the reference is.
const WIDTH: usize = 128;

/// The page.
pub fn page() -> String {
    let command = help::command();
    let mut text = String::from(
        "# skynet\n\n<!-- Made by `skynet generate` from the table of commands; do not edit. -->\n\n\
         The command for people: one for authors of participants, system administrators and process writers.\n\n\
         ## Interface\n\n    skynet [--system] [--json] COMMAND …\n\n",
    );
    text += &options(&command);
    for (heading, names) in GROUPS {
        text += &format!("\n## {heading}\n");
        for name in *names {
            if let Some(verb) = command.find_subcommand(name) {
                text += &section(verb, &format!("skynet {name}"), 3);
            }
        }
    }
    text += "\n## Exit codes, environment\n";
    text += &more(&command);
    text + "\nWhat `--json` prints stands in [json.md](json.md).\n"
}

fn section(verb: &Command, words: &str, depth: usize) -> String {
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n{} `{words}`\n\n{about}.\n\n", "#".repeat(depth));
    for line in usage(verb, words) {
        text += &format!("    {line}\n");
    }
    let options = options(verb);
    if !options.is_empty() {
        text += &format!("\n{options}");
    }
    text += &more(verb);
    for inner in visible(verb) {
        text += &section(inner, &format!("{words} {}", inner.get_name()), depth + 1);
    }
    text
}

/// What stands below the options.
fn more(command: &Command) -> String {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let part = |part| match part {
        Part::Text("") => String::new(),
        Part::Text(text) => format!("\n{}\n", wrapped(text)),
        Part::List(heading, lines) => format!("\n```text\n{heading}:\n{lines}\n```\n"),
    };
    parts(&after).map(part).collect()
}

/// In lines that are as wide as those of the other pages at most.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                *line += &format!(" {word}")
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn options(command: &Command) -> String {
    let shown = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version") && !arg.is_hide_set();
    let line = |arg: &Arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = match arg.get_default_values() {
            [one] if arg.get_action().takes_values() => format!(" [default: {}]", one.to_string_lossy()),
            _ => String::new(),
        };
        format!("- `{}`: {help}{default}\n", named(arg))
    };
    command.get_arguments().filter(shown).map(line).collect()
}

fn named(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
    let value = value.unwrap_or_else(|| arg.get_id().to_string().to_uppercase());
    let takes = arg.get_action().takes_values();
    match (arg.get_short(), arg.get_long()) {
        (None, None) => value,
        (Some(short), Some(long)) if arg.is_require_equals_set() => format!("-{short}, --{long}[={value}]"),
        (Some(short), Some(long)) if takes => format!("-{short}, --{long} {value}"),
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) if takes => format!("--{long} {value}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
    }
}
