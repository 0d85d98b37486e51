//! A home for one test: gone, with all that ran in it, when it is dropped, also when ^C is why.

use crate::service::has_ended;
use crate::stopping::send;
use crate::trouble::{Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags};
use nix::unistd::mkdtemp;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use unix::process::{Pidfd, Signal};

/// Each command has a time limit of its own.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The home.
pub struct Throwaway {
    /// The temporary folder in which it lies.
    pub folder: PathBuf,
    waiting: Waiting,
}

impl Throwaway {
    /// Makes the folder; ^C is for this home from now on.
    ///
    /// # Errors
    /// What making it reports.
    pub fn new() -> Result<Self, Trouble> {
        let waiting = Waiting::at_most(FOR_EVER).with_signals();
        let temporary = std::env::temp_dir();
        let folder = mkdtemp(&temporary.join("skynet-test-XXXXXX"))
            .map_err(cannot("make", format!("a folder in {}", temporary.display())))?;
        // When root tests, the handler runs as another user, who must get through.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .map_err(cannot("make", folder.display()))?;
        Ok(Self { folder, waiting })
    }

    /// The home itself.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Runs `skynet` in this home to its end.
    ///
    /// # Errors
    /// [`Trouble::Interrupted`] when ^C came: the command was told to end, too.
    pub fn skynet(&self, words: &[&str]) -> Result<Output, Trouble> {
        let trouble = || cannot("run", "skynet");
        // A terminal's ^C is for us alone: we pass it on.
        let child = self.command(words)?.process_group(0).spawn().map_err(trouble())?;
        let process = i32::try_from(child.id()).unwrap_or_default();
        let process = Pidfd::open(process).map_err(trouble())?;
        let reader = std::thread::spawn(move || child.wait_with_output());
        let mut interrupted = None;
        while !has_ended(&process) {
            let end = PollFd::new(process.as_fd(), PollFlags::POLLIN);
            if let Woken::Interrupted(signal) = self.waiting.next_or(Some(end)) {
                interrupted = Some(signal);
                send(&process, Signal::SIGTERM).map_err(trouble())?;
            }
        }
        let done = reader.join().map_err(|_| cannot("run", "skynet")("its output is lost"))?;
        let done = done.map_err(trouble())?;
        match interrupted {
            Some(signal) => Err(Trouble::Interrupted(signal, String::new())),
            None => Ok(done),
        }
    }

    fn command(&self, words: &[&str]) -> Result<Command, Trouble> {
        let own = fs::read_link("/proc/self/exe").map_err(cannot("find", "this program"))?;
        let mut command = Command::new(own);
        command.args(words).env("SKYNET_HOME", self.home()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        // Whatever is left of it is in a temporary folder. Nobody waits for the work of a handler that has had its time.
        for words in [&["stop", "*", "--timeout", "1s"][..], &["local", "down"]] {
            let _ = self.command(words).map(|mut command| command.process_group(0).output());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
