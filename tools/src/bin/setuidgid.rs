//! `setuidgid ACCOUNT CHILD…`: runs CHILD under the uid and gid of ACCOUNT, without supplementary groups.
//!
//! Exit codes: 100 wrong usage; 111 no such account, or CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use nix::unistd::{User, setgid, setgroups, setuid};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use unix::words::Words;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [account, child, rest @ ..] = args.as_slice() else {
        say(&[b"setuidgid: usage: setuidgid account child"]);
        return ExitCode::from(100);
    };
    if let Err((verb, e)) = become_account(account) {
        let reason = e.map_or_else(String::new, |e| format!(": {}", Words(&e)));
        say(&[b"setuidgid: fatal: ", &verb, reason.as_bytes()]);
        return ExitCode::from(111);
    }
    let error = Command::new(child).args(rest).exec();
    let words = Words(&error).to_string();
    say(&[b"setuidgid: fatal: unable to run ", child.as_bytes(), b": ", words.as_bytes()]);
    ExitCode::from(111)
}

/// One group, then the user: in that order, as a user may not change groups.
fn become_account(account: &OsStr) -> Result<(), (Vec<u8>, Option<io::Error>)> {
    let unknown = || ([b"unknown account ", account.as_bytes()].concat(), None);
    let name = account.to_str().ok_or_else(unknown)?;
    let user = User::from_name(name).ok().flatten().ok_or_else(unknown)?;
    let unable = |what: &str| {
        let what = format!("unable to {what}").into_bytes();
        move |errno: nix::errno::Errno| (what, Some(errno.into()))
    };
    setgroups(&[user.gid]).and_then(|()| setgid(user.gid)).map_err(unable("setgid"))?;
    setuid(user.uid).map_err(unable("setuid"))
}

fn say(parts: &[&[u8]]) {
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().write_all(&[parts.concat().as_slice(), b"\n"].concat());
}
