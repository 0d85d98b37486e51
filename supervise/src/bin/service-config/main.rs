//! `service-config DIR [NAME]`, `service-config --keys`: reads the settings of a service, for supervise, and prints them as lines of
//! `key value` (format: `servicedir::policy`); or prints the manual's table of keys.
//!
//! | file | idea |
//! |---|---|
//! | `keys.rs` | the one table of keys: what each takes, what it sets |
//! | `toml_file.rs` | service.toml held against the table; every complaint with file, line, key, what is expected |
//! | `s6.rs` | the files of an s6 service directory that say the same |
//! | `system.rs` | `[notify]` of config.exo and boss.conf |
//!
//! Where something is wrong it says so on standard error, a line for each, prints nothing and exits 1: the
//! service goes on with the settings it had. Exit codes: 0 fine; 1 something is wrong; 100 wrong usage; 111 trouble.
#![forbid(unsafe_code)]

mod keys;
mod s6;
mod system;
mod toml_file;

use nix::fcntl::OFlag;
use servicedir::names;
use servicedir::policy::Policy;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use unix::fds::open_nonblocking;
use unix::words::Words;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args == ["--keys"] {
        print!("{}", keys::table());
        return ExitCode::SUCCESS;
    }
    let (dir, name) = match args.as_slice() {
        [dir] => (dir, dir),
        [dir, name] => (dir, name),
        _ => {
            eprintln!("service-config: usage: service-config dir [name] | --keys");
            return ExitCode::from(100);
        }
    };
    if let Err(e) = std::env::set_current_dir(dir) {
        eprintln!("service-config: fatal: cannot go to {}: {}", dir.display(), Words(&e));
        return ExitCode::from(111);
    }
    let mut troubles = vec![];
    let policy = read(&mut troubles);
    if !troubles.is_empty() {
        for trouble in troubles {
            let name = name.display();
            eprintln!(
                "service-config: warning: {name}/{trouble} (the service goes on with the settings it had)"
            );
        }
        return ExitCode::from(1);
    }
    match io::stdout().write_all(policy.to_lines().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // The supervise that asked was killed: the next one asks again.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(111),
        Err(e) => {
            eprintln!("service-config: fatal: cannot write the settings: {}", Words(&e));
            ExitCode::from(111)
        }
    }
}

/// The settings that the working directory and the system ask for, and what is wrong with them.
fn read(troubles: &mut Vec<String>) -> Policy {
    let mut policy = Policy::default();
    s6::read(&mut policy, troubles);
    let own_command = match content(names::SERVICE_TOML) {
        Ok(text) => toml_file::read(&text, &mut policy, troubles),
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => {
            troubles.push(format!("{}: cannot be read: {}", names::SERVICE_TOML, Words(&e)));
            false
        }
    };
    if !own_command {
        policy.notify = system::of_participant().unwrap_or_else(|| system::command(troubles));
    }
    policy
}

/// What a file holds. Nobody waits for what may come through a FIFO.
fn content(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    File::from(open_nonblocking(Path::new(name), OFlag::O_RDONLY)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}
