//! docs/tutorial.md: its commands are run as they stand there, and what they print is compared.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, bin};
use std::fs;
use std::process::{Command, Stdio};

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

#[test]
fn the_tutorial_does_what_it_says() {
    let home = Home::new();
    let text = fs::read_to_string(tests::checkout().join("docs/tutorial.md")).unwrap();
    let steps = steps(&text);
    assert!(steps.len() > 15, "{}", steps.len());
    for step in steps {
        let mut command = Command::new("/bin/sh");
        // As a terminal shows it: both outputs, one after the other.
        command.args(["-c", &format!("exec 2>&1\n{}", step.command)]).env_clear();
        command
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin().canonicalize().unwrap().display()));
        command.env("HOME", home.folder.path()).env("SKYNET_HOME", home.root());
        let done = command.current_dir(home.folder.path()).stdin(Stdio::null()).output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout).into_owned();
        let mut found: Vec<_> = out.lines().collect();
        let code = format!("[exit code {}]", done.status.code().unwrap_or(-1));
        if !done.status.success() {
            found.push(&code);
        }
        assert!(
            agree(&step.output, &found),
            "docs/tutorial.md:{}: $ {}\n--- it says\n{}\n--- and it is\n{}\n",
            step.line,
            step.command,
            step.output.join("\n"),
            found.join("\n")
        );
    }
    assert!(home.processes().is_empty(), "{:?}", home.processes());
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
