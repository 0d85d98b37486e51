//! docs/tutorial.md and docs/howto: their commands are run as they stand there, and what they print is compared.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, bin};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::broker::Broker;
use tests::waiting::{DEADLINE, holds_within};

/// One command of the tutorial and what it prints, as it stands there.
struct Step {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// All steps: in blocks of `console`, from `$ ` on; of a here-document up to its END.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let (mut console, mut document) = (false, false);
    for (i, line) in text.lines().enumerate() {
        match (console, line) {
            (false, "```console") => console = true,
            (true, "```") => console = false,
            (true, line) if document => {
                steps.last_mut().unwrap().command += &format!("\n{line}");
                document = line != "END";
            }
            (true, line) => match line.strip_prefix("$ ") {
                Some(command) => {
                    document = command.ends_with("<<'END'");
                    steps.push(Step { line: i + 1, command: command.to_owned(), output: vec![] });
                }
                None => steps.last_mut().unwrap().output.push(line.to_owned()),
            },
            _ => {}
        }
    }
    steps
}

/// Whether lines are as they stand in the tutorial: `…` in a line is any text, a line of `…` alone any lines.
fn agree(wanted: &[String], found: &[&str]) -> bool {
    match wanted.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line.trim() == "…" => (0..=found.len()).any(|n| agree(rest, &found[n..])),
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| matches(&squeeze(line), &squeeze(first)) && agree(rest, others)),
    }
}

/// How many spaces stand between columns depends on what is in them.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Runs the commands of a document, in which some words stand for others.
fn execute(path: &str, words: &[(&str, &str)]) -> Home {
    let home = Home::new();
    let mut text = fs::read_to_string(tests::checkout().join(path)).unwrap();
    for (word, here) in words {
        assert!(text.contains(word), "{path} has no {word}");
        text = text.replace(word, here);
    }
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{path} has no commands");
    for step in steps {
        // What only looks may look too soon: log, history and mail come after the reply, in their own time.
        let looks = LOOKING.iter().any(|words| step.command.starts_with(words));
        let time = if looks { DEADLINE } else { Duration::ZERO };
        let mut found = vec![];
        let agrees = holds_within(time, || {
            found = run(&home, &step.command);
            agree(&step.output, &found.iter().map(String::as_str).collect::<Vec<_>>())
        });
        assert!(
            agrees,
            "{path}:{}: $ {}\n--- it says\n{}\n--- and it is\n{}\n",
            step.line,
            step.command,
            step.output.join("\n"),
            found.join("\n")
        );
    }
    home
}

/// The commands that change nothing.
const LOOKING: [&str; 6] =
    ["skynet log ", "skynet history", "skynet trace ", "skynet status", "skynet queues", "skynet doctor"];

/// Runs a command; what it says, with its exit code where that is not 0.
fn run(home: &Home, line: &str) -> Vec<String> {
    let mut command = Command::new("/bin/sh");
    // As a terminal shows it: both outputs, one after the other.
    command.args(["-c", &format!("exec 2>&1\n{line}")]).env_clear();
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin().canonicalize().unwrap().display()));
    command.env("HOME", home.folder.path()).env("SKYNET_HOME", home.root());
    let done = command.current_dir(home.folder.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let mut found: Vec<_> = said.lines().filter(|line| !home::is_progress(line)).map(str::to_owned).collect();
    if !done.status.success() {
        found.push(format!("[exit code {}]", done.status.code().unwrap_or(-1)));
    }
    found
}

/// The same; all must have ended with its last command.
fn execute_to_the_end(path: &str, words: &[(&str, &str)]) {
    let home = execute(path, words);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[test]
fn the_tutorial_does_what_it_says() {
    execute_to_the_end("docs/tutorial.md", &[]);
}

#[test]
fn the_recipes_that_need_nothing_but_a_home_are_as_they_say() {
    let names = [
        "another-language",
        "instances",
        "history",
        "debug-a-crash",
        "from-daemontools",
        "from-the-original",
    ];
    for name in names {
        execute_to_the_end(&format!("docs/howto/{name}.md"), &[]);
    }
}

/// "Switching a home from it to RabbitMQ is one line of boss.conf, and `skynet local up --broker URL`."
#[test]
fn a_home_moves_to_rabbitmq_and_back_as_the_recipe_says() {
    let broker = Broker::rabbitmq();
    execute_to_the_end(
        "docs/howto/rabbitmq.md",
        &[("amqp://boss:boss@rabbit.example.org/boss", &broker.url())],
    );
}

/// With the sample that mails, and a sendmail that puts all mail into a file.
#[test]
fn notifying_by_mail_is_as_the_recipe_says() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, outbox) = (folder.path().join("mail"), folder.path().join("outbox"));
    let sendmail = folder.path().join("sendmail");
    home::executable(&sendmail, format!("#!/bin/sh\ncat >>{}\n", outbox.display()));
    let sample = bin().join("../notify/mail").canonicalize().unwrap();
    let command = format!("#!/bin/sh\nSENDMAIL={} exec '{}' \"$@\"\n", sendmail.display(), sample.display());
    home::executable(&mail, command);
    let _home = execute("docs/howto/notify.md", &[("/usr/lib/skynet/notify/mail", mail.to_str().unwrap())]);
    let read = || fs::read_to_string(&outbox).unwrap();
    home::wait_until("the crash is mailed, with the log", || {
        read().contains("sizer: crash\n") && read().contains("consuming from sizer")
    });
    let sent = read();
    assert_eq!(sent.matches("To: root\nSubject: ").count(), 1, "{sent}");
    assert_eq!(sent.matches("To: sizer-team\nSubject: ").count(), 2, "{sent}");
}

#[test]
fn every_recipe_is_run() {
    // What root does with a whole machine is tried in story_sysadmin_machine.rs.
    let machine = ["install"];
    let own = fs::read_to_string(tests::checkout().join("tests/tests/tutorial.rs")).unwrap();
    for entry in fs::read_dir(tests::checkout().join("docs/howto")).unwrap().flatten() {
        let name = entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
        let run = own.contains(&format!("\"{name}\",")) || own.contains(&format!("docs/howto/{name}.md\""));
        assert!(run || machine.contains(&name.as_str()), "{name} is not run here");
    }
}

#[test]
fn a_line_agrees_with_what_it_leaves_open_and_nothing_else() {
    for (pattern, text, yes) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…", "ab", true),
        ("…b", "ab", true),
        ("a…c…e", "abcde", true),
        ("a…c…e", "abde", false),
        ("…", "", true),
    ] {
        assert_eq!(matches(pattern, text), yes, "{pattern} {text}");
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(agree(&lines("a\n…\nd"), &["a", "b", "c", "d"]));
    assert!(!agree(&lines("a\n…\nd"), &["a", "b", "c"]));
    assert!(agree(&lines("NAME  X\n"), &["NAME X"]));
}
