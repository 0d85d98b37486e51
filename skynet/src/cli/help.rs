//! The list of commands in `skynet --help`: by whom they are for.

use super::Cli;
use clap::{Command, CommandFactory};

/// Which commands are shown under which heading, in this order.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("For authors of participants", &["new", "test", "run", "send", "launch", "wi", "local"]),
    (
        "For system administrators",
        &[
            "status", "enable", "disable", "start", "stop", "restart", "reload", "once", "kill", "remove",
            "config", "doctor", "failed", "notify", "queues",
        ],
    ),
    ("For process writers", &["log", "history", "trace", "register", "unregister"]),
];

/// The whole table, with its help.
pub fn command() -> Command {
    let plain = Cli::command();
    let list = list(&plain);
    plain.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}\nOptions:\n{{options}}{{after-help}}"
    ))
}

fn list(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text += &format!("{heading}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            text += &format!("  {name:<11} {}\n", about.unwrap_or_default());
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_listed_once() {
        let command = Cli::command();
        let mut known: Vec<_> =
            command.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect();
        let mut listed: Vec<_> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().map(|n| (*n).to_owned())).collect();
        known.sort();
        listed.sort();
        assert_eq!(known, listed);
    }
}
