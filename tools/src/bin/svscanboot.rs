//! `svscanboot`: the supervision tree of a machine, as init starts it. Ends what an earlier tree left in /etc/service,
//! then becomes svscan, whose messages readproctitle shows to ps(1).
//!
//! Standard input, output and error are /dev/null; the environment is one variable, PATH: the folder this program lies
//! in, then daemontools' own list.
//!
//! Exit codes: 111 trouble at the start; else svscan's.
#![forbid(unsafe_code)]

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use tools::failure::Failure;

const SERVICES: &str = "/etc/service";
const PATH: &[u8] = b"/command:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:/usr/sbin:/usr/X11R6/bin";
/// As much of svscan's messages as ps(1) shows.
const DOTS: usize = 400;
/// Directories for one svc: so many arguments always fit.
const AT_ONCE: usize = 1000;

fn main() -> ExitCode {
    let Err(failure) = run();
    failure.tell("svscanboot", "svscanboot")
}

fn run() -> Result<Infallible, Failure> {
    silence().map_err(|e| Failure::of(&[b"unable to open /dev/null"], e))?;
    let path = path();
    end_leftovers(&path);
    let (messages, says) = io::pipe().map_err(|e| Failure::of(&[b"unable to create pipe"], e))?;
    program("readproctitle", &path)
        .args(["service", "errors:", &".".repeat(DOTS)])
        .stdin(messages)
        .spawn()
        .map_err(|e| Failure::of(&[b"unable to run readproctitle"], e))?;
    let told = says.try_clone().map_err(|e| Failure::of(&[b"unable to duplicate pipe"], e))?;
    let error = program("svscan", &path).arg(SERVICES).stdout(told).stderr(says).exec();
    Err(Failure::of(&[b"unable to run svscan"], error))
}

fn silence() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(dup2_stderr(&null)?)
}

/// Ours first, wherever they are installed.
fn path() -> Vec<u8> {
    let own = fs::read_link("/proc/self/exe").ok().and_then(|exe| exe.parent().map(Path::to_owned));
    own.map_or(PATH.to_vec(), |folder| [folder.as_os_str().as_bytes(), b":", PATH].concat())
}

fn program(name: &str, path: &[u8]) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", OsStr::from_bytes(path));
    command
}

/// Supervises that outlived their svscan hold the locks of their services: they end as soon as these are down.
fn end_leftovers(path: &[u8]) {
    for directories in leftovers(Path::new(SERVICES)).chunks(AT_ONCE) {
        let svc = program("svc", path).arg("-dx").args(directories).stdin(Stdio::null()).status();
        // As in daemontools, nothing comes of it: svscan meets the locks and says so.
        drop(svc);
    }
}

/// Services and then their logs, in the order of their names, without those that begin with a dot.
fn leftovers(services: &Path) -> Vec<PathBuf> {
    let visible = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_bytes().starts_with(b"."));
    let entries = fs::read_dir(services).into_iter().flatten().flatten();
    let mut services: Vec<_> = entries.map(|entry| entry.path()).filter(visible).collect();
    services.sort();
    let logs: Vec<_> =
        services.iter().map(|service| service.join("log")).filter(|log| log.exists()).collect();
    services.into_iter().chain(logs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_services_then_logs_without_dot_names() {
        let folder = std::env::temp_dir().join(format!("svscanboot-{}", std::process::id()));
        for path in ["b/log", "a", ".hidden/log", "c/log"] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        let found = leftovers(&folder);
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(&folder).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c", "b/log", "c/log"]);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
    }
}
