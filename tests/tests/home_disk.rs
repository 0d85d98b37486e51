//! A disk that is full, or that may only be read: one clear line, and nothing is lost.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, bin};
use std::fs;
use std::process::{Command, Stdio};

/// Runs commands in a shell whose home is on a small disk of its own, in a mount namespace. After each line
/// `--- COMMAND` comes what it said, and its exit code. `None` where nothing may be mounted.
fn on_a_small_disk(home: &Home, script: &str) -> Option<String> {
    fs::create_dir_all(home.root()).unwrap();
    let prelude = format!(
        "mount -t tmpfs -o size=8m,mode=755 none {0} || exit 77\n\
         t() {{ echo \"--- $*\"; skynet \"$@\" 2>&1; echo \"[$?]\"; }}\ncd {0}\n",
        home.root().display()
    );
    let flags = if nix::unistd::geteuid().is_root() { "-m" } else { "-rm" };
    let plain = home.command(&[]);
    let mut shell = Command::new("unshare");
    shell.args([flags, "sh", "-c", &(prelude + script)]).stdin(Stdio::null());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env(
        "PATH",
        format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin().canonicalize().unwrap().display()),
    );
    let done = shell.output().unwrap();
    if done.status.code() == Some(77) || String::from_utf8_lossy(&done.stderr).contains("unshare") {
        eprintln!("not tested: this machine allows no mount namespace");
        return None;
    }
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// What a command said there, and its exit code.
#[track_caller]
fn said<'a>(all: &'a str, command: &str) -> (&'a str, &'a str) {
    let from = all.split(&format!("--- {command}\n")).last().unwrap();
    assert_ne!(from, all, "{command} is not in {all}");
    let one = from.split("\n---").next().unwrap();
    let (text, code) = one.rsplit_once('[').unwrap();
    (text, code.split(']').next().unwrap())
}

/// "A home on a read-only disk."
#[test]
fn a_read_only_disk_is_said_in_one_line_and_what_only_reads_works() {
    let home = Home::new();
    let script = "t local up; t new sizer .; t enable ./sizer; t send sizer --wait --wfid w1 -F a=1\n\
                  for i in $(seq 1200); do skynet history | grep -q w1 && break; sleep 0.1; done\n\
                  t local down; cd /; mount -o remount,ro $SKYNET_HOME\n\
                  t local up --json; t local down; t local status; t status; t log sizer; t history; t trace w1; t failed\n\
                  t config sizer; t enable sizer; t disable sizer; t config sizer set grace 3s; t doctor\n\
                  t new other $SKYNET_HOME; SKYNET_HOME=$SKYNET_HOME/inner t local up";
    let Some(all) = on_a_small_disk(&home, script) else { return };
    for (command, code) in [
        ("local up", "111"),
        ("local up --json", "111"),
        ("disable sizer", "111"),
        ("config sizer set grace 3s", "111"),
        (&format!("new other {}", home.root().display()), "111"),
    ] {
        let (text, found) = said(&all, command);
        let one = text.lines().count() == 1 && text.contains("Read-only file system");
        assert!(found == code && one, "{command}: {text:?} [{found}]\n{all}");
    }
    for (command, code, part) in [
        ("local down", "0", "is down already"),
        ("local status", "3", "not running"),
        ("status", "3", "unsupervised"),
        ("log sizer", "0", "w1: fields: a"),
        ("history", "0", "w1"),
        ("trace w1", "0", "replied"),
        ("failed", "0", "no failed workitem"),
        ("config sizer", "0", "grace"),
        ("enable sizer", "0", "it will start with SkyNET"),
        ("doctor", "1", "disk: it is mounted read-only"),
    ] {
        let (text, found) = said(&all, command);
        assert!(found == code && text.contains(part), "{command}: {text:?} [{found}]\n{all}");
    }
}

/// "A home on a full disk."
#[test]
fn a_full_disk_is_said_in_one_line_nothing_is_lost_and_it_goes_on_with_room() {
    let home = Home::new();
    let script = "t local up; t new sizer .; t enable ./sizer; head -c 20m /dev/zero >ballast 2>/dev/null\n\
                  t send sizer --wait --timeout 3s; rm ballast; t local down; cp boss.conf kept\n\
                  head -c 20m /dev/zero >ballast 2>/dev/null\n\
                  t config sizer set grace 3s; t config set history.keep 1d; t new other .; t enable ./sizer; t doctor; t local up --json\n\
                  cmp boss.conf kept && echo unchanged; ls -A service . | grep new-\n\
                  rm ballast; t local up; t send sizer --wait --wfid w1 -F a=1; t local down";
    let Some(all) = on_a_small_disk(&home, script) else { return };
    let (text, code) = said(&all, "send sizer --wait --timeout 3s");
    assert!(
        code == "111" && text.contains("not confirmed the message within 3s"),
        "{text:?} [{code}]\n{all}"
    );
    for command in
        ["config sizer set grace 3s", "config set history.keep 1d", "new other .", "local up --json"]
    {
        let (text, code) = said(&all, command);
        let one = text.lines().count() == 1 && text.contains("No space left on device");
        assert!(code == "111" && one, "{command}: {text:?} [{code}]\n{all}");
    }
    assert!(said(&all, "doctor").0.contains("disk: only 0 B are free"), "{all}");
    assert!(all.contains("\nunchanged\n") && !all.contains(".new-"), "nothing half is left: {all}");
    assert!(said(&all, "send sizer --wait --wfid w1 -F a=1").0.contains("__result__ = true"), "{all}");
    assert_eq!(said(&all, "local down").1, "0", "{all}");
}
