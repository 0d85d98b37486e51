//! setuidgid and envuidgid: the account, in the process and in the environment.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod tools;

use tests::{Programs, Sandbox, on_both};
use tools::{is_root, transcripts};

on_both! {
    envuidgid_sets_uid_and_gid_of_the_account,
    envuidgid_tells_usage_and_trouble_as_daemontools_does,
    envuidgid_needs_no_privileges,
    setuidgid_changes_every_id_and_leaves_one_group,
    chains_of_wrappers_do_what_each_says,
}

/// "envuidgid (sets UID, GID)".
fn envuidgid_sets_uid_and_gid_of_the_account(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let env = |before: &str, account: &str| {
        format!("env -i {before} $(command -v envuidgid) {account} /usr/bin/env | tr '\\n' '|'")
    };
    transcripts(
        &sandbox,
        &[
            (&env("", "root"), 0, "GID=0|UID=0|", ""),
            (&env("", "daemon"), 0, "GID=1|UID=1|", ""),
            (&env("", "nobody"), 0, "GID=65534|UID=65534|", ""),
            (&env("UID=5 GIDS=7", "daemon"), 0, "GID=1|GIDS=7|UID=1|", ""),
            (&env("A=1 UID=5 B=2 GID=7 C=3", "daemon"), 0, "A=1|GID=1|B=2|C=3|UID=1|", ""),
            ("envuidgid daemon sh -c 'echo $UID $0; exit 7' a", 7, "1 a\n", ""),
        ],
    );
}

fn envuidgid_tells_usage_and_trouble_as_daemontools_does(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let usage = "envuidgid: usage: envuidgid account child\n";
    transcripts(&sandbox, &[("envuidgid", 100, "", usage), ("envuidgid daemon", 100, "", usage)]);
    for account in ["no-such-account", "1", "", "-x", "--", "Daemon", "daemon:daemon"] {
        for program in ["envuidgid", "setuidgid"] {
            let said = format!("{program}: fatal: unknown account {account}\n");
            transcripts(&sandbox, &[(&format!("{program} '{account}' true"), 111, "", &said)]);
        }
    }
    let said = sandbox
        .run("/bin/sh", &["-c", "envuidgid \"$(printf 'd\\377')\" true 2>&1 | od -An -c | tr -d ' \\n'"]);
    assert_eq!(said.good(), "envuidgid:fatal:unknownaccountd377\\n");
}

fn envuidgid_needs_no_privileges(programs: Programs) {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with(programs);
    sandbox.copy_program("envuidgid");
    let line = "setpriv --reuid=1 --regid=1 --clear-groups ./envuidgid root sh -c 'echo $UID $GID; id -u'";
    transcripts(&sandbox, &[(line, 0, "0 0\n1\n", "")]);
}

/// "one group, account names only".
fn setuidgid_changes_every_id_and_leaves_one_group(programs: Programs) {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with(programs);
    let ids = "sed -n \"s/^[UG]id:[[:space:]]*//p; s/^Groups:[[:space:]]*//p\" /proc/self/status";
    let with_groups = "setpriv --groups 2,3,4,65534";
    for (account, id) in [("daemon", "1"), ("nobody", "65534"), ("root", "0")] {
        let expected = format!("{0}\t{0}\t{0}\t{0}\n{0}\t{0}\t{0}\t{0}\n{0} \n", id);
        let line = format!("{with_groups} setuidgid {account} sh -c '{ids}'");
        transcripts(&sandbox, &[(&line, 0, &expected, "")]);
    }
    sandbox.copy_program("setuidgid");
    // Groups may be set, users not.
    let line = "setpriv --reuid=1 --regid=1 --clear-groups --inh-caps=+setgid --ambient-caps=+setgid ./setuidgid root true";
    transcripts(&sandbox, &[(line, 111, "", "setuidgid: fatal: unable to setuid: permission denied\n")]);
}

/// What run scripts are made of.
fn chains_of_wrappers_do_what_each_says(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.write("env/GREETING", "hello\n");
    sandbox.write("env/HOME", "");
    let child = "sh -c 'echo $GREETING ${HOME-gone} $UID $(ulimit -n)'";
    let chain = format!("envdir env envuidgid daemon softlimit -o 40 setlock lock pgrphack fghack {child}");
    transcripts(&sandbox, &[(&chain, 0, "hello gone 1 40\n", "")]);
    if is_root() {
        let chain =
            "envdir env softlimit -o 40 setuidgid daemon sh -c 'echo $GREETING $(ulimit -n) $(id -u)'";
        transcripts(&sandbox, &[(chain, 0, "hello 40 1\n", "")]);
    }
    // The last in the chain that fails is the one that tells.
    let said = "softlimit: fatal: unable to run nowhere: file does not exist\n";
    transcripts(&sandbox, &[("envdir env envuidgid daemon softlimit nowhere", 111, "", said)]);
}
