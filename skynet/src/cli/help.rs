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

/// What is wrong with a command line, as one line: what, the parser's hint where it has one, where help is.
pub fn complaint(said: &str, words: &[String]) -> String {
    let mut paragraphs = said.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = paragraphs.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what).trim_end_matches('.').to_owned();
    // That it could have been meant as a value is rarely so.
    let tip = paragraphs.find_map(|part| part.strip_prefix("tip: ").map(str::to_owned));
    let tip = tip.filter(|tip| !tip.starts_with("to pass "));
    let mut command = Cli::command();
    let mut path = "skynet".to_owned();
    for word in words {
        if let Some(inner) = command.find_subcommand(word).filter(|inner| !inner.is_hide_set()) {
            path += &format!(" {word}");
            command = inner.clone();
        }
    }
    let tip = tip.map_or_else(String::new, |tip| format!("{tip}; "));
    format!("{what} ({tip}{path} --help)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_gets_one_line() {
        for (words, line) in [
            (
                &["histroy"][..],
                "unrecognized subcommand 'histroy' (a similar subcommand exists: 'history'; skynet --help)",
            ),
            (&["status", "--x"], "unexpected argument '--x' found (skynet status --help)"),
            (
                &["config", "sizer", "set", "grace"],
                "the following required arguments were not provided: <VALUE> (skynet config set --help)",
            ),
        ] {
            let all: Vec<_> = std::iter::once("skynet").chain(words.iter().copied()).collect();
            let error = command().try_get_matches_from(all).unwrap_err().render().to_string();
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(complaint(&error, &words), line, "{error}");
        }
    }

    #[test]
    fn help_fits_into_80_columns() {
        fn check(command: &Command) {
            let help = command.clone().render_help().to_string();
            let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(long.is_empty(), "{}: {long:#?}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        let mut command = command();
        command.build();
        check(&command);
    }

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
