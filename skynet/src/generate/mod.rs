//! `skynet generate DIR`: man pages, completions and the reference, from the table of commands.

mod man;
mod reference;

use crate::cli::help;
use crate::say::say;
use crate::trouble::{Outcome, cannot};
use clap::Command;
use clap_complete::env::Shells;
use std::fs;
use std::io;
use std::path::Path;

/// How a shell calls us for completion: `COMPLETE=bash skynet -- WORDS`.
const VARIABLE: &str = "COMPLETE";

/// Writes everything.
pub fn run(dir: &Path) -> Outcome {
    let made = man::write(&dir.join("man")).and_then(|()| completions(&dir.join("completions")));
    made.map_err(cannot("write", dir.display()))?;
    fs::write(dir.join("skynet.md"), reference::page())
        .map_err(cannot("write", dir.join("skynet.md").display()))?;
    say!("{} has man/, completions/ and skynet.md", dir.display());
    Ok(0)
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

/// How a command is called, without `Usage:`.
fn usage(command: &Command, words: &str) -> Vec<String> {
    let usage = command.clone().bin_name(words).render_usage().to_string();
    usage.trim_start_matches("Usage:").lines().map(|line| line.trim().to_owned()).collect()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// Answers a shell that completes, if that is who called; then it does not return.
pub fn complete() {
    clap_complete::CompleteEnv::with_factory(help::command).var(VARIABLE).complete();
}
