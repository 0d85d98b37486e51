//! The settings of the service: read by the helper `service-config`, which knows TOML, before a start where the
//! files that they come from have changed.

use nix::poll::{PollFd, PollFlags, poll};
use servicedir::names;
use servicedir::policy::Policy;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unix::fds;
use unix::launch::Launch;
use unix::process::{self, Exit, Signal};

/// How long the helper may take: it reads two small files.
pub const LIMIT: Duration = Duration::from_secs(10);

/// What a file was like when it was last looked at; `None` = it was not there.
type Print = Option<(u64, u64, i64, i64)>;

/// What the settings are, and what the files that they come from were like.
#[derive(Default)]
pub struct Settings {
    /// As they are.
    pub policy: Policy,
    prints: Option<([Print; names::SETTINGS.len()], Print)>,
}

impl Settings {
    /// Whether they are to be read again: a file has changed, and there is something to read. Where there is
    /// nothing (any more), they are daemontools' rules.
    pub fn are_stale(&mut self) -> bool {
        let own = names::SETTINGS.map(|name| print(Path::new(name)));
        if own.iter().all(Option::is_none) {
            if self.prints.take().is_some() {
                self.policy = Policy::default();
            }
            return false;
        }
        let now = Some((own, print(&boss_conf())));
        now != std::mem::replace(&mut self.prints, now)
    }
}

/// Where the system-wide `[notify]` stands.
fn boss_conf() -> PathBuf {
    match std::env::var_os("SKYNET_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Path::new(&home).join("boss.conf"),
        None => "/etc/boss/boss.conf".into(),
    }
}

fn print(name: &Path) -> Print {
    let meta = fs::metadata(name).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

/// The helper at work.
pub struct Reading {
    /// Its pid.
    pub pid: i32,
    output: File,
    text: Vec<u8>,
    ended: Option<Exit>,
    open: bool,
}

impl Reading {
    /// Starts `service-config`, which lies beside this program, on the working directory. It calls the service
    /// by `name` in what it says, on our standard error.
    ///
    /// # Errors
    /// Why it cannot be started, in words.
    pub fn start(name: &[u8]) -> Result<Self, std::io::Error> {
        let helper = fs::read_link("/proc/self/exe")?.with_file_name("service-config");
        let helper = CString::new(helper.into_os_string().into_vec())?;
        let name = CString::new(name)?;
        let (read, write) = fds::pipe()?;
        let launch = Launch {
            words: &[&helper, c".", &name],
            descriptors: &[(write.as_fd(), 1)],
            ..Launch::default()
        };
        let launched = launch.start(&mut |_, _| Ok(()))?;
        if let Some((_, errno)) = launched.failed {
            return Err(errno.into());
        }
        let reading = Self { pid: launched.pid, output: read.into(), text: vec![], ended: None, open: true };
        Ok(reading)
    }

    /// Becomes readable when it says something, or has said all; `None` = it has.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.open.then(|| self.output.as_fd())
    }

    /// Takes what it says, without waiting.
    pub fn listen(&mut self) {
        let mut buffer = [0; 512];
        while self.open && has_something(&self.output) {
            match (&self.output).read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(n) => self.text.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.open = false,
            }
        }
    }

    /// It ended.
    pub fn buried(&mut self, exit: Exit) {
        self.ended = Some(exit);
    }

    /// What it has found out, once it has ended: `Some(None)` where something is wrong, which it has said.
    pub fn result(&mut self) -> Option<Option<Policy>> {
        let exit = self.ended?;
        self.listen();
        let text = str::from_utf8(&self.text).ok();
        Some(text.filter(|_| exit == Exit::Code(0)).and_then(Policy::from_lines))
    }

    /// Ends it: it took too long.
    pub fn kill(&self) {
        if self.ended.is_none() {
            // One that has just ended will be reaped.
            let _ = process::signal_child(self.pid, Signal::SIGKILL);
        }
    }
}

fn has_something(file: &File) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, 0u8).is_ok_and(|ready| ready > 0)
}
