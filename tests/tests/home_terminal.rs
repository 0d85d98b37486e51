//! Narrow terminals, no terminal, and nobody who reads.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::Home;
use home::terminal::{OnTerminal, lines};
use home::wait_until;
use std::fs;

/// "No terminal, a terminal of 40 columns."
#[test]
fn tables_fit_into_40_columns_and_without_a_terminal_they_are_whole_and_plain() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    fs::write(
        home.folder.path().join("sizer/sizer.py"),
        "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n        raise ValueError('no such thing')\n",
    )
    .unwrap();
    home.good(&["enable", "./sizer"]);
    home.skynet(&["send", "sizer", "--wait", "--wfid", "20261121-0900-bejoroku-rebejubo"]);
    wait_until("it is in the history", || home.good(&["history"]).contains("no such thing"));
    for words in [&["status"][..], &["queues"], &["history"], &["history", "--stats"], &["failed"]] {
        let command = OnTerminal::start(&home, words, 40).finish();
        assert!(command.code == Some(0) && command.restored, "{words:?}: {command:?}");
        assert!(command.screen.contains("sizer"), "{words:?}: {command:?}");
        let table = lines(&command.screen).into_iter().take_while(|line| !line.starts_with("all there is"));
        for line in table {
            assert!(line.chars().count() <= 40, "{words:?}: {line:?} of {command:?}");
        }
        let plain = home.good(words);
        assert!(!plain.contains('\x1b'), "{words:?}: {plain}");
        assert!(plain.lines().next().unwrap().len() > 40, "{words:?}: {plain}");
    }
    let coloured = OnTerminal::start(&home, &["status"], 40).finish();
    assert!(coloured.screen.contains("\x1b[32mup"), "{coloured:?}");
    let mut command = home.command(&["status"]);
    command.env("NO_COLOR", "1");
    let plain = OnTerminal::command(command, 40).finish();
    assert!(!plain.screen.contains('\x1b') && plain.screen.contains("up"), "{plain:?}");
}

/// "Output closed early (`| head`)", both outputs: no panic, and what was asked for is done all the same.
#[test]
fn nobody_who_reads_is_no_reason_to_fail() {
    let home = Home::up_without_broker();
    home.service("one", "echo hello; exec sleep 1000");
    for words in [
        &["enable", "./one"][..],
        &["status"],
        &["status", "--json"],
        &["log", "one"],
        &["log", "-f", "one"],
        &["history"],
        &["trace", "w1"],
        &["failed"],
        &["queues"],
        &["config"],
        &["config", "--check"],
        &["doctor"],
        &["doctor", "--json"],
        &["new", "--list"],
        &["new", "fresh"],
        &["test", "./fresh", "--anyway"],
        &["local", "status"],
        &["local", "up"],
        &["wi", "status", "w1"],
        &["notify", "test"],
        &["no-such-verb"],
        &["--help"],
        &["restart", "one"],
        &["local", "down"],
    ] {
        let mut child = home.start(words);
        drop((child.stdout.take(), child.stderr.take()));
        let code = child.wait().unwrap().code();
        assert!(code.is_some_and(|code| code != 101), "{words:?}: {code:?}");
    }
    assert!(home.path("service/one").exists() && home.folder.path().join("fresh/run").exists());
    assert!(home.processes().is_empty());
}
