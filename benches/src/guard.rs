//! The benchmark runs as a child of a guard, to whom all orphans come: whatever happens to the benchmark, an error, ^C,
//! kill -9, the guard ends all that was started and removes the folder.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tempfile::TempDir;
use unix::process::{Exit, become_subreaper, reap};
use unix::signals::SignalPipe;

/// The variables that tell the benchmark its folders: in memory, and on a disk.
const PLACES: [&str; 2] = ["BENCH_PLACE", "BENCH_DISK_PLACE"];

/// The folders of the benchmark; none in the guard.
pub fn places() -> Option<[PathBuf; 2]> {
    let [memory, disk] = PLACES.map(|variable| std::env::var_os(variable).map(PathBuf::from));
    Some([memory?, disk?])
}

/// Runs the benchmark, and cleans up after it. The folder on a disk is below `DISK`, or else the target folder.
///
/// # Errors
/// What starting it reports.
pub fn guard(target: &Path) -> io::Result<ExitCode> {
    let disk = std::env::var_os("DISK").filter(|disk| !disk.is_empty());
    let disk = disk.map_or(target.to_owned(), PathBuf::from);
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("bench-");
    let places = [folder.tempdir_in(memory())?, folder.tempdir_in(disk)?];
    let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let signals = SignalPipe::new(&[ends.map(|s| s as i32).as_slice(), &[Signal::SIGCHLD as i32]].concat())?;
    become_subreaper()?;
    let mut bench = Command::new(std::env::current_exe()?);
    bench.args(std::env::args_os().skip(1)).envs(PLACES.iter().zip(places.iter().map(TempDir::path)));
    let bench = bench.spawn()?.id();
    let code = loop {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not: all is looked at.
        let _ = poll(&mut fds, PollTimeout::NONE);
        if signals.take().any(|signal| signal != Signal::SIGCHLD as i32) {
            break 111;
        }
        let ended = std::iter::from_fn(reap).find(|(pid, _)| u32::try_from(*pid) == Ok(bench));
        match ended {
            Some((_, Exit::Code(code))) => break u8::try_from(code).unwrap_or(111),
            Some(_) => break 111,
            None => {}
        }
    };
    end_all();
    Ok(ExitCode::from(code))
}

/// Where files are in memory, as far as there is such a place.
fn memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}

/// Kills children until there are none: orphans of those that were killed come to us next.
fn end_all() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok() {
        for child in crate::process::children(std::process::id() as i32) {
            // A child that we have not waited for: its pid is its own.
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        std::thread::yield_now();
    }
}
