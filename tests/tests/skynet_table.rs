//! What is made from skynet's table of commands: the reference, man pages, completion.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::Home;
use std::fs;

/// "Generated things are produced by the build or a test that fails on drift, never edited."
#[test]
fn the_reference_is_what_the_table_of_commands_says() {
    let home = Home::new();
    let out = home.folder.path().join("out");
    home.good(&["generate", out.to_str().unwrap()]);
    let made = fs::read_to_string(out.join("skynet.md")).unwrap();
    let kept = fs::read_to_string(tests::checkout().join("docs/reference/skynet.md")).unwrap();
    assert!(
        made == kept,
        "it has drifted; repair: skynet generate DIR, then DIR/skynet.md is docs/reference/skynet.md"
    );
}

#[test]
fn every_command_has_a_man_page_and_every_shell_a_completion() {
    let home = Home::new();
    let out = home.folder.path().join("out");
    home.good(&["generate", out.to_str().unwrap()]);
    let help = home.good(&["--help"]);
    let listed =
        help.lines().filter_map(|line| line.strip_prefix("  ")).map_while(|line| line.split(' ').next());
    for verb in ["status", "log", "send", "config"] {
        assert!(listed.clone().any(|word| word == verb), "{verb} is not in {help}");
        let page = fs::read_to_string(out.join(format!("man/skynet-{verb}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
    }
    for file in ["skynet", "_skynet", "skynet.fish"] {
        assert!(
            fs::read_to_string(out.join("completions").join(file)).unwrap().contains("COMPLETE"),
            "{file}"
        );
    }
}

/// "Completion that completes participant names."
#[test]
fn a_shell_that_completes_is_told_commands_and_the_names_of_participants() {
    let home = Home::new();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    let complete = |words: &[&str]| {
        let mut command = home.command(&["--", "skynet"]);
        command.args(words).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        command
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(complete(&["sta"]).lines().any(|word| word == "status"));
    assert!(complete(&["stop", "sl"]).contains("sleeper"), "{}", complete(&["stop", "sl"]));
    assert_eq!(complete(&["new", "-t", "exo"]).trim(), "exoskeleton");
    assert!(complete(&["log", ""]).contains("sleeper"));
    assert!(!complete(&["log", "x"]).contains("sleeper"));
}
