//! The stories of who writes a participant, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, Lines, finish, signal};
use std::fs;
use unix::process::Signal;

/// "I want to be given a workitem and focus on my system interaction and returning data."
#[test]
fn i_want_to_be_given_a_workitem_and_return_data() {
    let home = Home::new();
    home.good(&["new", "sizer"]);
    let handler = "class ParticipantHandler(object):\n    def handle_wi(self, wid):\n        wid.fields.size = len(wid.fields.text)\n";
    fs::write(home.folder.path().join("sizer/sizer.py"), handler).unwrap();
    home.good(&["local", "up"]);
    home.good(&["enable", "./sizer"]);
    let out = home.good(&["send", "sizer", "--field", "text=hello", "--wait"]);
    assert!(out.ends_with("\nsize = 5\n"), "{out}");
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
    assert_eq!(finish(child).code, Some(0), "^C ends it in order");
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
    assert!(!home.root().exists(), "nothing of the real home is touched");
    fs::write(home.folder.path().join("exec/exec"), "#!/bin/sh\nexit 1\n").unwrap();
    let broken = home.skynet(&["test", "./exec"]);
    assert!(broken.code == Some(1) && broken.out.contains("test_exec: FAILED"), "{broken:?}");
}
