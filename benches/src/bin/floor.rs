//! `bench-floor DIR…`: what no supervisor can be faster than. Starts ./run in each directory, waits for one to end,
//! and starts it again: nothing else.
#![forbid(unsafe_code)]

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::wait;
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (run, arguments) = (c"./run", [c"./run".to_owned()]);
    let entry = |(name, value): (OsString, OsString)| {
        CString::new([name.into_vec(), b"=".into(), value.into_vec()].concat())
    };
    let environment: Vec<CString> = std::env::vars_os().map(entry).collect::<Result<_, _>>()?;
    let (actions, attributes) = (PosixSpawnFileActions::init()?, PosixSpawnAttr::init()?);
    // glibc makes this a vfork and an exec.
    let start = |dir: &OsString| -> Result<Pid, Box<dyn std::error::Error>> {
        std::env::set_current_dir(dir)?;
        Ok(posix_spawn(run, &actions, &attributes, &arguments, &environment)?)
    };
    let mut services = HashMap::new();
    for dir in std::env::args_os().skip(1) {
        services.insert(start(&dir)?, dir);
    }
    loop {
        if let Some(dir) = wait()?.pid().and_then(|ended| services.remove(&ended)) {
            services.insert(start(&dir)?, dir);
        }
    }
}
