//! `skynet generate DIR`: man pages, completions and the reference, from the table of commands.

use crate::cli::help::{self, GROUPS};
use crate::say::say;
use crate::trouble::{Outcome, cannot};
use clap::{Arg, Command};
use clap_complete::env::Shells;
use std::fs;
use std::io;
use std::path::Path;

/// How a shell calls us for completion: `COMPLETE=bash skynet -- WORDS`.
pub const VARIABLE: &str = "COMPLETE";

/// Writes everything.
pub fn run(dir: &Path) -> Outcome {
    let made = man_pages(&dir.join("man")).and_then(|()| completions(&dir.join("completions")));
    made.map_err(cannot("write", dir.display()))?;
    fs::write(dir.join("skynet.md"), reference())
        .map_err(cannot("write", dir.join("skynet.md").display()))?;
    say!("{} has man/, completions/ and skynet.md", dir.display());
    Ok(0)
}

fn man_pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let command = help::command();
    write_page(&command, "skynet", dir)?;
    for verb in visible(&command) {
        let name = format!("skynet-{}", verb.get_name());
        write_page(&verb.clone().display_name(&name), &name, dir)?;
    }
    Ok(())
}

fn write_page(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    let mut page = vec![];
    // The page's name, and a usage line that begins with the words to type.
    let words = name.replacen('-', " ", 1);
    let command = command.clone().name(name.to_owned()).bin_name(words);
    clap_mangen::Man::new(command).render(&mut page)?;
    fs::write(dir.join(format!("{name}.1")), page)
}

fn completions(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for shell in Shells::builtins().iter() {
        let file = match shell.name() {
            "bash" => "skynet",
            "zsh" => "_skynet",
            "fish" => "skynet.fish",
            _ => continue,
        };
        let mut script = vec![];
        shell.write_registration(VARIABLE, "skynet", "skynet", "skynet", &mut script)?;
        fs::write(dir.join(file), script)?;
    }
    Ok(())
}

/// docs/reference/skynet.md.
pub fn reference() -> String {
    let command = help::command();
    let mut text = String::from(
        "# skynet\n\n<!-- Made by `skynet generate` from the table of commands; do not edit. -->\n\n\
         The command for people: one for authors of participants, system administrators and process writers.\n\n\
         ## Interface\n\n    skynet [--system] [--json] COMMAND …\n\n",
    );
    text += &options(&command, "");
    for (heading, names) in GROUPS {
        text += &format!("\n## {heading}\n");
        for name in *names {
            if let Some(verb) = command.find_subcommand(name) {
                text += &section(verb, &format!("skynet {name}"), 3);
            }
        }
    }
    text += "\n## Exit codes, environment\n\n```text\n";
    text += &command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text + "\n```\n\nWhat `--json` prints stands in [json.md](json.md).\n"
}

fn section(verb: &Command, words: &str, depth: usize) -> String {
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n{} `{words}`\n\n{about}.\n\n", "#".repeat(depth));
    let usage = verb.clone().bin_name(words).render_usage().to_string();
    for line in usage.trim_start_matches("Usage:").lines() {
        text += &format!("    {}\n", line.trim());
    }
    text.push('\n');
    text += &options(verb, "");
    if let Some(after) = verb.get_after_help() {
        text += &format!("\n```text\n{after}\n```\n");
    }
    for inner in visible(verb) {
        text += &section(inner, &format!("{words} {}", inner.get_name()), depth + 1);
    }
    text
}

fn options(command: &Command, indent: &str) -> String {
    let shown = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version") && !arg.is_hide_set();
    let line = |arg: &Arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = match arg.get_default_values() {
            [one] if arg.get_action().takes_values() => format!(" [default: {}]", one.to_string_lossy()),
            _ => String::new(),
        };
        format!("{indent}- `{}`: {help}{default}\n", named(arg))
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

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// Answers a shell that completes, if that is who called; then it does not return.
pub fn complete() {
    clap_complete::CompleteEnv::with_factory(help::command).var(VARIABLE).complete();
}
