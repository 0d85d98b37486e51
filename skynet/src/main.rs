//! `skynet`: the command for people. One file per command; `cli/` is the table of them.
//!
//! | file | idea |
//! |---|---|
//! | `cli/`, `generate/` | the commands and their options; man pages, completions and the reference made from it |
//! | `local/` | `local up`, `down`, `status`: broker and svscan of a home |
//! | `new.rs`, `testing.rs`, `throwaway.rs`, `foreground.rs`, `saved.rs` | a participant from a template, tested, run by hand |
//! | `enable.rs`, `control.rs`, `status.rs` | service directories: made, told, shown |
//! | `settings/`, `doctor/`, `notify.rs`, `queues.rs` | settings, health, who is told of problems, queues |
//! | `log/`, `logtail.rs` | logs merged by time; the end of one |
//! | `send/`, `launch.rs`, `definition.rs` | a workitem as the engine would send it, and its reply; what the engine is asked for |
//! | `history/`, `trace.rs`, `failed.rs`, `states.rs` | what was done, and what could not be |
//! | `wi.rs` | workitems in hand: asked for and cancelled over AIR |
//! | `tree.rs`, `name.rs`, `glob.rs`, `participant.rs`, `service.rs`, `brokers.rs` | where things are, what they are called, what they are |
//! | `starting.rs`, `listening.rs`, `stopping.rs`, `waiting.rs`, `child.rs`, `interrupt.rs` | waiting for effects and for programs, with deadlines, and ^C |
//! | `say.rs`, `table.rs`, `paint.rs`, `progress.rs`, `units.rs`, `trouble.rs` | talking to people |
#![forbid(unsafe_code)]

mod brokers;
mod child;
mod cli;
mod control;
mod definition;
mod doctor;
mod enable;
mod failed;
mod foreground;
mod generate;
mod glob;
mod history;
mod interrupt;
mod launch;
mod listening;
mod local;
mod log;
mod logtail;
mod name;
mod new;
mod notify;
mod paint;
mod participant;
mod progress;
mod queues;
mod saved;
mod say;
mod send;
mod service;
mod settings;
mod starting;
mod states;
mod status;
mod stopping;
mod table;
mod testing;
mod throwaway;
mod trace;
mod tree;
mod trouble;
mod units;
mod waiting;
mod wi;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use cli::author::Local;
use cli::{Cli, Verb, help};
use std::process::ExitCode;
use tree::Tree;
use trouble::{Outcome, Trouble, cannot};

const WRONG_USAGE: u8 = 100;

fn main() -> ExitCode {
    generate::complete();
    let parsed = help::command().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => return show(&e),
    };
    if cli.json {
        say::keep_stdout_for_json();
    }
    interrupt::watch();
    let written = |code| match say::unwritten() {
        Some(e) => Err(cannot("write", "to standard output")(e)),
        None => Ok(code),
    };
    match perform(cli).and_then(written) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            // What an interrupted command did not leave behind is not worth a line.
            match trouble.to_string() {
                nothing if nothing.is_empty() => {}
                line => say::trouble(&line),
            }
            ExitCode::from(trouble.code())
        }
    }
}

/// What the parser has to say: help that was asked for, or what is wrong.
fn show(said: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match said.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody is left to be told when the terminal is gone.
            let _ = said.print();
        }
        _ => {
            let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
            say::trouble(&help::complaint(&said.render().to_string(), &words.collect::<Vec<_>>()));
        }
    }
    ExitCode::from(if said.use_stderr() { WRONG_USAGE } else { 0 })
}

fn perform(cli: Cli) -> Outcome {
    let json = cli.json;
    if let Verb::Local(local) = cli.verb {
        let tree = Tree::choose_home(cli.system)?;
        return match local {
            Local::Up(args) => local::up::run(&tree, &args, json),
            Local::Down => local::down::run(&tree, json),
            Local::Status => local::status::run(&tree, json),
        };
    }
    let tree = Tree::choose(cli.system)?;
    perform_on(&tree, cli).map_err(|trouble| match trouble {
        Trouble::System(line) if tree.home().is_none() && line.ends_with("Permission denied") => {
            Trouble::System(format!("{line} (the system's SkyNET is root's: sudo skynet)"))
        }
        other => other,
    })
}

fn perform_on(tree: &Tree, cli: Cli) -> Outcome {
    let json = cli.json;
    let (code, services) = match cli.verb {
        Verb::Local(_) => unreachable!("performed above"),
        Verb::BecomeSvscan => return local::svscan::become_svscan(tree),
        Verb::Generate(args) => return generate::run(&args.dir),
        Verb::New(args) => return new::run(&args, json),
        Verb::Test(args) => return testing::run(tree, &args, json),
        Verb::Run(args) => return foreground::run(tree, &args, json),
        Verb::Send(args) => return send::run(tree, &args, json),
        Verb::Launch(args) => return launch::launch(tree, &args, json),
        Verb::Register(args) => return launch::register(tree, &args, json),
        Verb::Unregister(args) => return launch::unregister(tree, &args, json),
        Verb::Wi(args) => return wi::run(tree, &args, json),
        Verb::Status(args) => return status::run(tree, &args, json),
        Verb::Config(args) => return settings::run(tree, &args, json),
        Verb::Doctor => return doctor::run(tree, json),
        Verb::Notify(args) => return notify::run(tree, &args, json),
        Verb::Queues(args) => return queues::run(tree, &args, json),
        Verb::Failed(args) => return failed::run(tree, &args, json),
        Verb::History(args) => return history::run(tree, &args, json),
        Verb::Trace(args) => return trace::run(tree, &args, json),
        Verb::Log(args) => return log::run(tree, &args, json),
        Verb::Enable(args) => enable::enable(tree, &args)?,
        Verb::Disable(args) => enable::disable(tree, &args)?,
        Verb::Start(args) => control::start(tree, &args)?,
        Verb::Stop(args) => control::stop(tree, &args)?,
        Verb::Restart(args) => control::restart(tree, &args)?,
        Verb::Reload(args) => control::reload(tree, &args)?,
        Verb::Once(args) => control::once(tree, &args)?,
        Verb::Kill(args) => control::kill(tree, &args)?,
        Verb::Remove(args) => control::remove(tree, &args)?,
    };
    if json {
        status::print_json(tree, &services)?;
    }
    Ok(code)
}
