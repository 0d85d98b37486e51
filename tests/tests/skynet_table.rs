//! What is made from skynet's table of commands: the reference, man pages, completion.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::Home;
use home::terminal::OnTerminal;
use std::fs;
use std::process::Command;

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

/// The options of `skynet wi cancel` stand nowhere else; and nobody is sent to a page that is not there.
#[test]
fn every_command_of_a_command_has_a_man_page_and_no_page_names_one_that_is_not_there() {
    let home = Home::new();
    let out = home.folder.path().join("out");
    home.good(&["generate", out.to_str().unwrap()]);
    let page = |name: &str| fs::read_to_string(out.join("man").join(name)).unwrap().replace("\\-", "-");
    assert!(page("skynet-wi-cancel.1").contains("--force"));
    for entry in fs::read_dir(out.join("man")).unwrap() {
        let text = page(entry.unwrap().file_name().to_str().unwrap());
        for named in text.split_whitespace().filter_map(|word| word.strip_suffix("(1)")) {
            assert!(out.join(format!("man/{named}.1")).exists(), "{named} in {text}");
        }
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

/// The same in a shell that is typed into.
#[test]
fn bash_completes_participants_and_their_folders() {
    let home = Home::new();
    home.service("sleeper", "exec sleep 1000");
    home.good(&["enable", "./sleeper"]);
    home.good(&["new", "fresh"]);
    home.good(&["generate", "made"]);
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]).env_clear().current_dir(home.folder.path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", home::bin().display())).env("SKYNET_HOME", home.root());
    let mut bash = OnTerminal::command(shell, 80);
    // What is typed must not look like the prompt.
    bash.press(". made/completions/skynet; PS1=re''ady:\n");
    bash.wait_for("ready:");
    for (typed, completed) in [
        ("skynet sto", "skynet stop "),
        ("skynet stop sl", "skynet stop sleeper "),
        ("skynet log -f slee", "skynet log -f sleeper "),
        ("skynet enable ./fr", "skynet enable ./fresh/"),
        ("skynet new -t exos", "skynet new -t exoskeleton "),
        ("skynet config ./fresh set gra", "skynet config ./fresh set grace "),
    ] {
        bash.press(&format!("{typed}\t"));
        bash.wait_for(completed);
        // ^U: the line away.
        bash.press("\x15");
    }
    bash.press("exit\n");
    assert_eq!(bash.finish().code, Some(0));
}
