//! `skynet`: the command for people. One file per verb; `cli.rs` is the table of them.
//!
//! | file | idea |
//! |---|---|
//! | `local/` | `local up`, `down`, `status`: broker and svscan of a home |
//! | `new.rs` | a participant from the template |
//! | `enable.rs`, `control.rs`, `status.rs` | service directories: made, told, shown |
//! | `log/` | logs merged by time |
//! | `send.rs`, `amqp.rs` | a workitem as the engine would send it, and its reply |
//! | `tree.rs`, `name.rs`, `participant.rs`, `service.rs` | where things are, what they are called, what they are |
//! | `starting.rs`, `listening.rs`, `stopping.rs`, `waiting.rs` | waiting for effects, with deadlines |
#![forbid(unsafe_code)]

mod brokers;
mod cli;
mod control;
mod enable;
mod listening;
mod local;
mod log;
mod logtail;
mod name;
mod new;
mod paint;
mod participant;
mod say;
mod send;
mod service;
mod starting;
mod status;
mod stopping;
mod tree;
mod trouble;
mod waiting;

use clap::Parser;
use cli::{Cli, Local, Verb};
use std::process::ExitCode;
use tree::Tree;
use trouble::Outcome;

const WRONG_USAGE: u8 = 100;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Nobody is left to be told when the terminal is gone.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { WRONG_USAGE } else { 0 });
        }
    };
    match perform(cli) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            eprintln!("skynet: {trouble}");
            ExitCode::from(trouble.code())
        }
    }
}

fn perform(cli: Cli) -> Outcome {
    if let Verb::Local(local) = cli.verb {
        let tree = Tree::choose_home(cli.system)?;
        return match local {
            Local::Up { port } => local::up::run(&tree, port),
            Local::Down => local::down::run(&tree),
            Local::Status => local::status::run(&tree),
        };
    }
    let tree = Tree::choose(cli.system)?;
    match cli.verb {
        Verb::Local(_) => unreachable!("performed above"),
        Verb::BecomeSvscan => local::svscan::become_svscan(&tree),
        Verb::New(args) => new::run(&args),
        Verb::Enable(paths) => enable::enable(&tree, &paths.words),
        Verb::Disable(names) => enable::disable(&tree, &names.names),
        Verb::Start(paths) => control::start(&tree, &paths.words),
        Verb::Stop(names) => control::stop(&tree, &names.names),
        Verb::Restart(names) => control::restart(&tree, &names.names),
        Verb::Status(names) => status::run(&tree, &names.names),
        Verb::Log(args) => log::run(&tree, &args),
        Verb::Send(args) => send::run(&tree, &args),
    }
}
