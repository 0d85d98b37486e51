//! Settings that cannot be, refused where the participant starts, and in the same words by `skynet config --check`.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use tests::Participant;
use unix::privileges::is_root;

const HANDLER: &str = "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n";

/// A participant that never gets as far as a broker.
fn participant() -> Participant {
    let p = Participant::on_skynet(HANDLER, "");
    p.sandbox.write("sizer/plain", "#!/bin/sh\n");
    p.sandbox.script("sizer/work", "exit 0");
    p.sandbox.folder("sizer/folder");
    p
}

fn refused(p: &Participant) -> String {
    let done = p.launch("config.exo").finish();
    assert_eq!(done.code, Some(111), "{done:?}");
    let mut lines = done.out.lines();
    let said =
        lines.next().and_then(|line| line.strip_prefix("exo: fatal: ")).unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(lines.next(), None, "one line: {done:?}");
    said.to_owned()
}

/// "An error that names the key, the file …": what is there and cannot be, and what is named and is not there.
#[test]
fn what_cannot_be_is_refused_with_file_line_and_key() {
    let p = participant();
    let dir = p.sandbox.path("sizer");
    let dir = dir.to_str().unwrap();
    for (config, says) in [
        ("\nexec = [\"./gone\"]", ":2: exec: there is no program DIR/gone: put it there, or name another"),
        ("exec = [\"./folder\"]", ":1: exec: DIR/folder is no program: name one"),
        ("exec = [\"./plain\"]", ":1: exec: nobody may execute DIR/plain: chmod a+x DIR/plain"),
        ("exec = []", ":1: exec takes a list of texts like [\"./work\", \"--fast\"], not this list"),
        (
            "exec = [\"./work\"]\ncode = \"sizer.py\"",
            ":1: exec: a program works in the place of code (config.exo:2): keep one of them",
        ),
        (
            "error_class = \"Runtime Error\"",
            ":1: error_class takes a class of Ruby's like \"RuntimeError\", not \"Runtime Error\"",
        ),
        (
            "[fields]\nx = { pattern = \"[\" }",
            ":2: fields.x.pattern takes a regular expression like \"^[a-z]+$\", not \"[\"",
        ),
        (
            "[amqp.tls]\nca = \"ca.pem\"",
            ":2: amqp.tls.ca: it is for amqps://, and no URL of the broker begins so: what goes there can be read on the way",
        ),
        (
            "amqp.url = \"amqps://a\"\n[amqp.tls]\nca = \"gone.pem\"",
            ":3: amqp.tls.ca: there is no file DIR/gone.pem: put it there, or name another",
        ),
        (
            "amqp.url = \"amqps://a\"\n[amqp.tls]\nca = \"plain\"",
            ":3: amqp.tls.ca: DIR/plain holds no certificate in PEM's form (-----BEGIN CERTIFICATE-----)",
        ),
        (
            "hard_timeout = \"1m\"\nsoft_timeout = \"61s\"",
            ":2: soft_timeout: 61 s is after hard_timeout (60 s), when all is over: make it shorter",
        ),
        ("\nname = \"s", ":2: name: the text has no end: \" is missing"),
        ("code = \"gone.py\"", ":1: code: there is no handler file DIR/gone.py: put it there, or set code"),
        (
            "name = \"gone\"",
            "config.exo: code: there is no handler file DIR/gone.py: put it there, or set code",
        ),
        ("python = \"./gone\"", ":1: python: there is no program DIR/gone: put it there, or name another"),
    ] {
        p.sandbox.write("sizer/config.exo", config);
        let said = refused(&p);
        let says = says.replace("DIR", dir);
        assert!(said.starts_with("config.exo:") && said.ends_with(&says), "{config}: {said}");
        let checked = p.sandbox.run("skynet", &["config", "./sizer", "--check"]);
        // The command names the file by its whole path.
        let known = checked.out.replace(&format!("{dir}/config.exo"), "config.exo");
        assert!(
            checked.code == Some(1) && known.contains(&format!("wrong:   {said}\n")),
            "{checked:?} and {said}"
        );
    }
}

/// Only whoever starts it knows its PATH: that of its own files is the one that counts.
#[test]
fn a_program_without_a_path_is_looked_for_where_the_participant_would() {
    let p = participant();
    p.sandbox.write("sizer/config.exo", "exec = [\"work\"]\n");
    let said = refused(&p);
    assert!(said.starts_with("config.exo:1: exec: there is no program work on PATH, "), "{said}");
    assert!(p.sandbox.run("skynet", &["config", "./sizer", "--check"]).good().contains("good"));
    p.sandbox
        .write("skynet/sizer.env", format!("PATH={}:/usr/bin:/bin\n", p.sandbox.path("sizer").display()));
    assert_eq!(p.start().terminate().code, Some(0));
}

/// Root may read everything: the participant's user is asked once more, and named.
#[test]
fn what_the_participants_user_may_not_use_is_said_before_it_is_tried() {
    if !is_root() {
        return;
    }
    let p = participant();
    for (config, file, verb) in [
        ("user = \"nobody\"\n", "sizer.py", "read"),
        ("user = \"nobody\"\nexec = [\"./work\"]\n", "work", "execute"),
    ] {
        p.sandbox.write("sizer/config.exo", config);
        let path = p.sandbox.path("sizer").join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let said = refused(&p);
        let says = format!(": the user nobody may not {verb} {}", path.display());
        assert!(said.ends_with(&says), "{said}");
        // Who asks may be somebody else, whose rights say nothing.
        let mut check = p.sandbox.command("setuidgid", &["daemon", "skynet", "config", "./sizer", "--check"]);
        check.current_dir(p.sandbox.dir());
        assert!(p.sandbox.spawn(check).finish().good().contains("sizer/config.exo"));
    }
    // A link, as in a virtualenv: it is not the folders above the link that are closed.
    let work = p.sandbox.write("away/work", "#!/bin/sh\n");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755)).unwrap();
    let away = p.sandbox.path("away");
    fs::set_permissions(&away, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(work, p.sandbox.path("sizer/link")).unwrap();
    p.sandbox.write("sizer/config.exo", "user = \"nobody\"\nexec = [\"./link\"]\n");
    let (link, away) = (p.sandbox.path("sizer/link"), away.display());
    let says = format!(
        ": the user nobody may not execute {}, as {away} is closed to it: keep it elsewhere, or chmod o+x {away}",
        link.display()
    );
    let said = refused(&p);
    assert!(said.ends_with(&says), "{said}");
}
