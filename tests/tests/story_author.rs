//! The stories of who writes a participant, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, finish, signal, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use unix::process::Signal;

/// "I want to be given a workitem and focus on my system interaction and returning data."
#[test]
fn i_want_to_be_given_a_workitem_and_return_data() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    let handler = "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n        wid.fields.size = len(wid.fields.text)\n        wid.result = True\n";
    fs::write(home.folder.path().join("sizer/sizer.py"), handler).unwrap();
    let tried = home.good(&["test", "./sizer"]);
    assert!(tried.contains("\n  size = 5\n"), "{tried}");
    assert!(home.good(&["local", "up", "./sizer"]).contains("sizer is up (pid "));
    let out = home.good(&["send", "sizer", "--field", "text=hello", "--wait"]);
    assert!(out.contains("\nsize = 5\n"), "{out}");
    // What cannot be worked on is answered, too.
    let refused = home.skynet(&["send", "sizer", "--field", "params=3", "--wait"]);
    assert!(refused.code == Some(1) && refused.err.contains("params is not an object"), "{refused:?}");
}

/// "I want to be able to run the participant on my local desktop."
#[test]
fn i_want_to_run_the_participant_on_my_local_desktop() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let mut child = home.start(&["run", "./sizer"]);
    let mut said = Lines::of(child.stdout.take().unwrap());
    said.until("consuming");
    home.good(&["send", "sizer", "--field", "a=1", "--wait"]);
    said.until("replied");
    let code = home.folder.path().join("sizer/sizer.py");
    let changed = fs::read_to_string(&code).unwrap() + "\nprint('saved anew')\n";
    fs::write(&code, changed).unwrap();
    said.until("sizer.py was saved");
    said.until("saved anew");
    said.until("consuming");
    home.good(&["send", "sizer", "--field", "a=1", "--wait"]);
    signal(&child, Signal::SIGINT);
    assert_eq!(finish(child).code, Some(130), "^C ends it in order");
}

/// "If I want to do something clever then I can specify an alternative class to Exoskeleton in the config."
#[test]
fn i_can_specify_an_alternative_class_to_exoskeleton() {
    let home = Home::new();
    home.good(&["new", "clever", "--template", "exoskeleton"]);
    home.good(&["test", "./clever"]);
    // Its exoskeleton answers what its handler cannot.
    let out = home.good(&["test", "./clever", "--field", "text=null"]);
    assert!(out.contains("problem = \"the field text is missing\""), "{out}");
}

/// "Just give me a simple template": every one of them is tested as it is written, and asks nothing.
#[test]
fn just_give_me_a_simple_template() {
    let home = Home::new();
    for template in ["python", "exec"] {
        home.good(&["new", template, "--template", template]);
        let out = home.good(&["test", &format!("./{template}")]);
        assert!(out.contains("all is well"), "{out}");
        let package = fs::read_to_string(home.folder.path().join(template).join("package.toml")).unwrap();
        for key in ["name", "version", "summary", "maintainer", "depends"] {
            assert!(
                package.lines().any(|line| line.starts_with(&format!("{key} = "))),
                "{key} is not in {package}"
            );
        }
    }
    let made = home.good(&["new", "with-a-long-name"]);
    for (file, says) in [("run", "What supervise runs"), ("test_with-a-long-name.py", "The unit test of ")] {
        assert!(made.contains(&format!("\n  {file:<24} {says}")), "{made}");
    }
    assert!(!home.root().exists(), "nothing of the real home is touched");
    fs::write(home.folder.path().join("exec/exec"), "#!/bin/sh\nexit 1\n").unwrap();
    let broken = home.skynet(&["test", "./exec"]);
    assert!(broken.code == Some(1) && broken.out.contains("test_exec: FAILED"), "{broken:?}");
    // A unit test that was not made executable is not taken for none.
    let unit = home.folder.path().join("exec/test_exec");
    fs::set_permissions(unit, fs::Permissions::from_mode(0o644)).unwrap();
    let closed = home.skynet(&["test", "./exec"]);
    assert!(closed.out.contains("test_exec is neither Python nor executable"), "{closed:?}");
}

/// With `--once` there is no next time to promise.
#[test]
fn a_run_that_is_to_end_once_does_not_say_that_it_starts_again() {
    let home = Home::up_without_broker();
    home.service("brief", "exit 3");
    let done = home.skynet(&["run", "./brief", "--once"]);
    assert!(done.code == Some(1) && done.out.contains("brief ended with exit code 3\n"), "{done:?}");
}

/// Writes this as the handler of a participant that `skynet new` has made.
fn write(home: &Home, name: &str, handler: &str) {
    fs::write(home.folder.path().join(format!("{name}/{name}.py")), handler).unwrap();
}

fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(&home.skynet(&[words, &["--json"]].concat()).out).unwrap()
}

/// "I want a status/control thread with some stubs for cancel() and status() which I can just fill in for my
/// participant (and maybe ignore)." Seven commands.
#[test]
fn i_want_stubs_for_status_and_cancel_which_i_can_just_fill_in() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "builder"]);
    let file = home.folder.path().join("builder/builder.py");
    let template = fs::read_to_string(&file).unwrap();
    let filled = template
        .replace("pass  # stop the work on ctrl.wid as soon as you can", "self.enough = True")
        .replace("pass  # return a text: how far the work on ctrl.wid has got", "return \"round %d\" % self.round")
        .replace(
            "wid.result = True",
            "self.round, self.enough = 0, False\n        import time\n        while not self.enough:\n            \
             self.round += 1\n            time.sleep(0.01)\n        wid.result = True",
        );
    assert_eq!(filled.matches("self.enough").count(), 3, "the template has stubs to fill in: {template}");
    fs::write(&file, filled).unwrap();
    home.good(&["enable", "./builder"]);
    home.good(&["send", "builder", "--wfid", "w1"]);
    wait_until("it says how far it is", || home.skynet(&["wi", "status", "w1"]).out.contains("round "));
    home.good(&["wi", "cancel", "w1"]);
    wait_until("it has stopped", || home.skynet(&["wi", "status", "w1"]).code == Some(1));
    let rows = || json(&home, &["history", "builder"]);
    wait_until("the history knows", || rows()[0]["outcome"] == "cancelled");
}

/// "If the system is shutting down then don't give me any more work to do. If you tell me the system is shutting down
/// I'll try to tidy up."
#[test]
fn if_the_system_is_shutting_down_i_get_no_more_work_and_may_tidy_up() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "slow"]);
    let go = home.folder.path().join("go");
    let handler = format!(
        "import os, time\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        \
         self.log.info('begun')\n        while not os.path.exists({go:?}):\n            time.sleep(0.01)\n    \
         def handle_lifecycle_control(self, ctrl):\n        if ctrl.message == 'stop':\n            \
         self.log.info('tidied up')\n"
    );
    write(&home, "slow", &handler);
    home.good(&["enable", "./slow"]);
    for wfid in ["w1", "w2", "w3"] {
        home.good(&["send", "slow", "--wfid", wfid]);
    }
    let log = || home.good(&["log", "slow"]);
    wait_until("it works on the first", || log().contains("w1: begun"));
    let down = home.start(&["local", "down"]);
    wait_until("it was told", || log().contains("taking no more work"));
    fs::write(&go, "").unwrap();
    let done = finish(down);
    assert_eq!(done.code, Some(0), "nothing had to be killed: {done:?}");
    assert!(log().contains("tidied up") && log().matches("begun").count() == 1, "{}", log());
    assert!(home.processes().is_empty());
    // What it did not take was kept, and is done after the next boot, without a word of the author's.
    home.good(&["local", "up"]);
    wait_until("all is done", || json(&home, &["history", "slow"]).as_array().unwrap().len() == 3);
    assert!(json(&home, &["history", "slow", "--problems"]).as_array().unwrap().is_empty());
}

/// "If a problem occurs in production I'd like to have as much debug information as possible; including a copy of the
/// incoming workitem."
#[test]
fn if_a_problem_occurs_i_have_all_that_is_known_and_the_incoming_workitem() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let body = "        self.log.info('looking at %s', wid.fields.text)\n        wid.fields.size = len(wid.fields.text)\n";
    let class = "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n";
    write(&home, "sizer", &format!("{class}{body}"));
    home.good(&["enable", "./sizer"]);
    let failed =
        home.skynet(&["send", "sizer", "--wait", "--wfid", "w1", "-F", "text=17", "-F", "deep.er=1"]);
    assert!(failed.code == Some(1) && failed.err.contains("TypeError"), "{failed:?}");

    let listed = home.good(&["failed"]);
    assert!(
        listed.contains("TypeError") && listed.contains("skynet failed sizer w1"),
        "it says what next: {listed}"
    );
    let shown = home.good(&["failed", "--all"]);
    assert_eq!(shown, home.good(&["failed", "sizer", "w1"]), "one command where no wfid is known");
    for part in ["sizer.py\", line 4", "TypeError: object of type 'int' has no len()", "\"er\": 1", "python"]
    {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    wait_until("the trace tells all", || {
        let trace = home.good(&["trace", "w1"]);
        trace.contains("looking at 17") && trace.contains("kept")
    });

    // Repaired, and the very same workitem once more.
    write(
        &home,
        "sizer",
        &format!("{class}{}", body.replace("len(wid.fields.text)", "len(str(wid.fields.text))")),
    );
    home.good(&["reload", "sizer"]);
    home.good(&["failed", "sizer", "w1", "--retry"]);
    let outcomes = || {
        let rows = json(&home, &["history", "--wfid", "w1"]);
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["outcome"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    wait_until("it is done", || outcomes() == ["failed", "replied"]);
    home.good(&["failed", "sizer", "w1", "--drop"]);
    assert!(home.good(&["failed"]).contains("no failed workitem"));
}

/// "I don't want to know about daemons, logging": what a handler prints, warns of and what its programs say is in the
/// log, with the process it is about.
#[test]
fn i_do_not_want_to_know_about_daemons_or_logging() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "chatty"]);
    write(
        &home,
        "chatty",
        "import os, sys, warnings\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        \
         print('printed')\n        sys.stderr.write('to stderr\\n')\n        os.system('echo by a program')\n",
    );
    home.good(&["enable", "./chatty"]);
    home.good(&["send", "chatty", "--wait", "--wfid", "w1"]);
    // What a program says comes by a pipe, which the reply does not wait for.
    wait_until("all of it is in the log", || {
        let log = home.good(&["log", "chatty"]);
        ["w1: printed", "w1: to stderr", "by a program"].iter().all(|part| log.contains(part))
    });
}
