//! A program of others that is run to its end: a unit test, a notify command. ^C and a time limit end it with all that
//! it has started.

use crate::interrupt::Claim;
use crate::progress::Progress;
use crate::service::has_ended;
use crate::trouble::{Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use unix::process::Pidfd;

/// How long it may tidy up after ^C before it is killed.
const TIDYING: Duration = Duration::from_secs(2);

/// What became of it.
pub struct Ended {
    /// How it ended; `None` when its time was over and it was killed.
    pub status: Option<ExitStatus>,
    /// What it said, on both outputs.
    pub output: String,
}

/// Runs it with nothing on standard input; `what` is its name in a sentence.
///
/// # Errors
/// [`Trouble::Interrupted`] when ^C came: it was told so, too, and nothing of it is left.
pub fn run(command: &mut Command, what: &str, limit: Duration) -> Result<Ended, Trouble> {
    let keep = |e: std::io::Error| cannot("keep", format!("what {what} says"))(e);
    let interrupts = Claim::new();
    let mut output =
        memfd_create(c"output", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(|e| keep(e.into()))?;
    command.stdin(Stdio::null());
    command.stdout(output.try_clone().map_err(keep)?).stderr(output.try_clone().map_err(keep)?);
    // A terminal's ^C is for us alone: we pass it on.
    let mut child = command.process_group(0).spawn().map_err(cannot("run", what))?;
    let (killed, signal) = wait(&child, what, limit, interrupts.as_ref())?;
    let status = child.wait().map_err(cannot("wait for", what))?;
    if let Some(signal) = signal {
        return Err(Trouble::Interrupted(signal, format!("{what} was ended")));
    }
    let mut said = vec![];
    output.rewind().and_then(|()| output.read_to_end(&mut said)).map_err(keep)?;
    Ok(Ended {
        status: Some(status).filter(|_| !killed),
        output: String::from_utf8_lossy(&said).into_owned(),
    })
}

/// Waits until it has ended: whether it had to be killed, and the signal that we got meanwhile.
fn wait(
    child: &Child,
    what: &str,
    limit: Duration,
    interrupts: Option<&Claim>,
) -> Result<(bool, Option<i32>), Trouble> {
    let group = i32::try_from(child.id()).unwrap_or_default();
    // It leads its group and has not been waited for, so the number is still its own.
    let tell = |signal| {
        let _ = killpg(Pid::from_raw(group), signal);
    };
    let process = Pidfd::open(group).map_err(cannot("watch", what))?;
    let mut waiting = Waiting::at_most(limit);
    let mut progress = Progress::begin();
    let (mut killed, mut interrupted) = (false, None);
    while !has_ended(&process) {
        progress.tell(|| format!("waiting for {what}"));
        let woken = waiting.next_or(Some(PollFd::new(process.as_fd(), PollFlags::POLLIN)));
        match interrupts.and_then(Claim::take) {
            Some(signal) if interrupted.is_none() => {
                interrupted = Some(signal);
                tell(Signal::try_from(signal).unwrap_or(Signal::SIGTERM));
                waiting.extend(TIDYING);
            }
            again if again.is_some() || woken == Woken::Over => {
                tell(Signal::SIGKILL);
                killed = true;
            }
            _ => {}
        }
    }
    if interrupted.is_some() {
        tell(Signal::SIGKILL);
    }
    Ok((killed, interrupted))
}
