//! setuidgid: another account, and nothing of the old one.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::unistd::geteuid;
use tests::{Done, Programs, Sandbox, on_both};

on_both! {
    usage_and_trouble_are_told_as_daemontools_tells_them,
    the_child_has_the_uid_and_the_one_group_of_the_account,
    the_childs_own_end_is_passed_on,
    a_child_that_cannot_be_run_is_named,
    who_is_not_root_is_refused,
}

/// "`setuidgid ACCOUNT CHILD` … Usage 100, own failures 111"; "account names only".
fn usage_and_trouble_are_told_as_daemontools_tells_them(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let usage = "setuidgid: usage: setuidgid account child\n";
    let table: [(&[&str], i32, &str); 5] = [
        (&[], 100, usage),
        (&["root"], 100, usage),
        (&["no-such-account", "true"], 111, "setuidgid: fatal: unknown account no-such-account\n"),
        (&["65534", "true"], 111, "setuidgid: fatal: unknown account 65534\n"),
        (&["-x", "true"], 111, "setuidgid: fatal: unknown account -x\n"),
    ];
    for (arguments, code, expected) in table {
        assert_eq!(sandbox.run("setuidgid", arguments).told(), (code, "", expected), "{arguments:?}");
    }
}

/// "one group".
fn the_child_has_the_uid_and_the_one_group_of_the_account(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let Some(done) = as_root(&sandbox, &["sh", "-c", "id -u; id -g; id -G"]) else { return };
    assert_eq!(done.told(), (0, "1\n1\n1\n", ""));
}

/// "else the child's".
fn the_childs_own_end_is_passed_on(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let Some(done) = as_root(&sandbox, &["sh", "-c", "echo $0 $#; exit 7", "a b", "c"]) else { return };
    assert_eq!(done.told(), (7, "a b 1\n", ""));
    let done = as_root(&sandbox, &["sh", "-c", "kill -9 $$"]).unwrap();
    assert_eq!(done.signal, Some(9), "it has become the child");
}

/// "EACCES, EPERM, EISDIR go on and win over ENOENT".
fn a_child_that_cannot_be_run_is_named(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("first/tool", "#!/bin/sh\n");
    sandbox.script("second/tool", "echo second");
    let path = |folders: &[&str]| {
        let folders: Vec<_> =
            folders.iter().map(|folder| sandbox.path(folder).display().to_string()).collect();
        sandbox.set("PATH", folders.join(":"));
    };
    path(&["nowhere"]);
    let Some(done) = as_root(&sandbox, &["no-such-program"]) else { return };
    assert_eq!(
        done.told(),
        (111, "", "setuidgid: fatal: unable to run no-such-program: file does not exist\n")
    );
    path(&["nowhere", "first"]);
    let denied = "setuidgid: fatal: unable to run tool: access denied\n";
    assert_eq!(as_root(&sandbox, &["tool"]).unwrap().told(), (111, "", denied));
    path(&["first", "nowhere"]);
    assert_eq!(as_root(&sandbox, &["tool"]).unwrap().told(), (111, "", denied));
    path(&["first", "second"]);
    assert_eq!(as_root(&sandbox, &["tool"]).unwrap().told(), (0, "second\n", ""));
    let denied =
        format!("setuidgid: fatal: unable to run {}: access denied\n", sandbox.path("first").display());
    assert_eq!(
        as_root(&sandbox, &[sandbox.path("first").to_str().unwrap()]).unwrap().told(),
        (111, "", denied.as_str())
    );
}

fn who_is_not_root_is_refused(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    // A copy, as the checkout may lie where only root may look.
    let copy = sandbox.copy_program("setuidgid");
    let copy = copy.to_str().unwrap();
    let done = if geteuid().is_root() {
        sandbox.run("setpriv", &["--reuid=1", "--regid=1", "--clear-groups", copy, "root", "true"])
    } else {
        sandbox.run(copy, &["root", "true"])
    };
    assert_eq!(done.told(), (111, "", "setuidgid: fatal: unable to setgid: permission denied\n"));
}

/// `setuidgid daemon` with a child, from root's own groups; `None` where the tests do not run as root (Debian's
/// account daemon is uid and gid 1).
fn as_root(sandbox: &Sandbox, child: &[&str]) -> Option<Done> {
    if !geteuid().is_root() {
        eprintln!("not root: setuidgid cannot be tried");
        return None;
    }
    Some(sandbox.run("setuidgid", &[&["daemon"], child].concat()))
}
