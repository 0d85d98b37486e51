//! A folder of its own for each test, programs in a cleared environment, and nothing left afterwards.
//!
//! What belongs to a sandbox is told by a variable in its environment, or by a working directory or an
//! executable below the folder. The test process is a subreaper: whatever the programs leave behind becomes
//! its child and is reaped here.

use crate::files;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::running::{Done, Running};
use crate::waiting::{DEADLINE, holds_within};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use unix::process::{Pidfd, Signal};

/// The variable by which the programs of a sandbox are known.
const MARK: &str = "SKYNET_TEST_SANDBOX";
/// Output folder of the programs started, within the sandbox.
const OUTPUT: &str = ".output";

/// A folder, the programs under test, and all processes that were started from here.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    programs: Programs,
    started: Cell<usize>,
    environment: RefCell<Vec<(String, String)>>,
}

impl Sandbox {
    /// A sandbox with our programs first in PATH.
    #[expect(clippy::new_without_default, reason = "it has effects")]
    pub fn new() -> Self {
        Self::with(Programs::ours())
    }

    /// A sandbox with these programs first in PATH.
    pub fn with(programs: Programs) -> Self {
        unix::process::become_subreaper().unwrap();
        // What cargo, make or a terminal left open is not for the programs.
        unix::inherited::close_on_exec().unwrap();
        // Short, for sockets; for all to enter, as tests that root runs have programs of other users.
        let folder = tempfile::Builder::new().prefix("sky-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join(OUTPUT)).unwrap();
        Self { folder, programs, started: Cell::new(0), environment: RefCell::default() }
    }

    /// The programs under test.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir().join(path)
    }

    /// Sets a variable for all programs started from now on.
    pub fn set(&self, variable: &str, value: impl ToString) {
        self.environment.borrow_mut().push((variable.to_owned(), value.to_string()));
    }

    /// Makes a folder, and those above it.
    pub fn folder(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file, and makes the folders above it.
    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes an executable shell script: `#!/bin/sh`, then these lines.
    pub fn script(&self, path: impl AsRef<Path>, lines: &str) -> PathBuf {
        self.executable(path, format!("#!/bin/sh\n{lines}\n"))
    }

    /// Writes an executable file, which can be run at once, and makes the folders above it.
    pub fn executable(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        files::executable(&path, text);
        path
    }

    /// A copy of a program under test in the folder: the checkout may lie where only root may look.
    pub fn copy_program(&self, program: &str) -> PathBuf {
        self.copy_program_to(program, program)
    }

    /// The same, at this path.
    pub fn copy_program_to(&self, program: &str, path: impl AsRef<Path>) -> PathBuf {
        self.executable(path, fs::read(self.programs.path(program)).unwrap())
    }

    /// Makes a symbolic link at a path, to a target.
    pub fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        symlink(target, self.path(path)).unwrap();
    }

    /// Reads a file; one that is not there is empty.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&fs::read(self.path(path)).unwrap_or_default()).into_owned()
    }

    /// Whether something is at a path; a dangling link counts.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Removes a file or a folder with all that is in it.
    pub fn remove(&self, path: impl AsRef<Path>) {
        let path = self.path(path);
        let remove =
            if path.symlink_metadata().unwrap().is_dir() { fs::remove_dir_all } else { fs::remove_file };
        let mut done = remove(&path);
        // A program that runs may write another file into a folder that is being emptied.
        holds_within(DEADLINE, || {
            let again = done.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::DirectoryNotEmpty);
            if again {
                done = remove(&path);
            }
            !again
        });
        done.unwrap();
    }

    /// A command, not started yet: a program under test by its name, any other by its path or name. Its
    /// environment has PATH (the programs under test first), HOME, LANG and what was [`set`](Self::set), its
    /// working directory is the folder.
    pub fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let program = program.as_ref();
        let own = self.programs.bin().join(program);
        let mut command = Command::new(if own.exists() { &own } else { program });
        command.args(arguments).env_clear().current_dir(self.dir());
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.programs.bin().display()));
        command.env("HOME", self.dir()).env("LANG", "C.UTF-8").env(MARK, self.dir());
        command.envs(self.environment.borrow().iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts a command made by [`command`](Self::command). What it writes goes to files in the sandbox.
    pub fn spawn(&self, mut command: Command) -> Running {
        let number = self.started.replace(self.started.get() + 1);
        let name =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = |kind| self.path(format!("{OUTPUT}/{number:03}-{name}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Running { child, name, out, err }
    }

    /// Starts a program with nothing on its standard input.
    pub fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Running {
        self.spawn(self.command(program, arguments))
    }

    /// Starts a program with a pipe as its standard input.
    pub fn start_fed(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Running {
        let mut command = self.command(program, arguments);
        command.stdin(Stdio::piped());
        self.spawn(command)
    }

    /// Runs a program to its end.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Done {
        self.start(program, arguments).finish()
    }

    /// Runs a program to its end, with this on its standard input.
    pub fn run_fed(&self, program: impl AsRef<Path>, arguments: &[&str], input: impl AsRef<[u8]>) -> Done {
        let mut running = self.start_fed(program, arguments);
        // It may end before it has read all.
        let _ = std::io::Write::write_all(&mut running.take_stdin(), input.as_ref());
        running.finish()
    }

    /// Waits until a condition holds. When it does not, the test fails and shows what all programs said.
    pub fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        if !holds_within(DEADLINE, condition) {
            panic!("waited in vain until {what}{}", self.account());
        }
    }

    /// Waits until there is a value, and returns it.
    pub fn wait_for<T>(&self, what: &str, mut value: impl FnMut() -> Option<T>) -> T {
        let mut found = None;
        self.wait_until(what, || {
            found = value();
            found.is_some()
        });
        found.unwrap()
    }

    /// The living processes that were started from here, and their descendants.
    pub fn leftovers(&self) -> Vec<Process> {
        process::pids().filter(|pid| self.owns(*pid)).filter_map(Process::find).collect()
    }

    /// Waits until no process is left. When some stay, the test fails and shows them.
    pub fn wait_until_nothing_is_left(&self) {
        if !holds_within(DEADLINE, || self.leftovers().is_empty()) {
            panic!("processes are left: {:#?}{}", self.leftovers(), self.account());
        }
    }

    fn owns(&self, pid: i32) -> bool {
        if pid == std::process::id() as i32 {
            return false;
        }
        let mark = format!("{MARK}={}", self.dir().display()).into_bytes();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let below = |link: &str| {
            fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|p| p.starts_with(self.dir()))
        };
        environment.split(|byte| *byte == 0).any(|entry| entry == mark) || below("cwd") || below("exe")
    }

    /// What the programs wrote and which ones live, for messages to people.
    fn account(&self) -> String {
        let mut text = String::new();
        let mut files: Vec<_> =
            fs::read_dir(self.path(OUTPUT)).unwrap().flatten().map(|e| e.path()).collect();
        files.sort();
        for file in files {
            let said = fs::read(&file).unwrap_or_default();
            if !said.is_empty() {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let from = said.len().saturating_sub(4000);
                text += &format!("\n--- {name}\n{}", String::from_utf8_lossy(&said[from..]));
            }
        }
        format!("{text}\n--- processes\n{:#?}", self.leftovers())
    }

    /// Kills what is left until nothing is, and reaps it. Once is not enough: what is killed late may have
    /// started something anew meanwhile.
    pub fn kill_all(&self) {
        let mut killed = vec![];
        let gone = holds_within(DEADLINE, || {
            for pid in process::pids() {
                // The descriptor first: a pid may go to a stranger between the look and the signal.
                let Ok(process) = Pidfd::open(pid) else { continue };
                if self.owns(pid) && process.send(Signal::SIGKILL).is_ok() {
                    killed.push(pid);
                }
            }
            self.leftovers().is_empty()
        });
        for pid in killed {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
        if !gone && !std::thread::panicking() {
            panic!("cannot end all processes: {:#?}", self.leftovers());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.account());
        }
        self.kill_all();
    }
}
