//! One service directory as it is now, and the letters that change it.

use crate::trouble::{Trouble, cannot};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use servicedir::status::{State, Status, Want};
use servicedir::{client, names};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unix::process::{Exit, Identity, Pidfd, Signal};
use unix::tai64n::Tai64n;

/// A supervise that is at work reads its letters sooner.
const HEARING: Duration = Duration::from_millis(500);

/// What is known of a service at one moment.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its directory.
    pub dir: PathBuf,
    /// Whether a supervise runs there.
    pub supervised: bool,
    /// Whether that may not be seen: it is another user's.
    pub hidden: bool,
    /// What supervise says, or said when it last ran.
    pub status: Option<Status>,
    /// Whether it starts by itself: there is no file `down`.
    pub enabled: bool,
}

/// What an operator would say of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is not for us to see.
    Hidden,
    /// No supervise runs.
    Unsupervised,
    /// It is not running and shall not.
    Down,
    /// It is not running and will be started in a moment.
    Restarting,
    /// It was told to stop and still runs.
    Stopping(i32),
    /// It runs, but was sent STOP.
    Paused(i32),
    /// It runs.
    Up(i32),
}

impl Service {
    /// Looks at the service directory `dir`.
    pub fn look(dir: &Path) -> Self {
        let running = client::is_running(dir);
        Self {
            dir: dir.to_owned(),
            hidden: running.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied),
            supervised: running.unwrap_or(false),
            status: client::status(dir).ok(),
            enabled: !dir.join(names::DOWN).exists(),
        }
    }

    /// That it is ours to control.
    ///
    /// # Errors
    /// When it is another user's.
    pub fn must_be_ours(&self) -> Result<(), Trouble> {
        match self.hidden {
            true => Err(cannot("control", self.dir.display())("Permission denied")),
            false => Ok(()),
        }
    }

    /// What an operator would say.
    pub fn condition(&self) -> Condition {
        if self.hidden {
            return Condition::Hidden;
        }
        if !self.supervised {
            return Condition::Unsupervised;
        }
        // A supervise that has just started has ears before it has written its first status.
        let Some(status) = &self.status else { return Condition::Restarting };
        match (status.pid, status.want) {
            (Some(pid), Want::Down) => Condition::Stopping(pid),
            (Some(pid), _) if status.paused => Condition::Paused(pid),
            (Some(pid), _) => Condition::Up(pid),
            (None, Want::Up) => Condition::Restarting,
            (None, _) if self.in_backoff() => Condition::Restarting,
            (None, _) => Condition::Down,
        }
    }

    fn in_backoff(&self) -> bool {
        let more = self.status.as_ref().and_then(|status| status.more.as_ref());
        more.is_some_and(|more| more.state == State::Backoff)
    }

    /// The process that runs, or nothing.
    pub fn pid(&self) -> Option<i32> {
        self.status.as_ref().and_then(|status| status.pid)
    }

    /// Whether it runs, and will not be started again when it ends.
    pub fn runs_once(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.pid.is_some() && status.want == Want::Nothing)
    }

    /// How long it has been as it is.
    pub fn age(&self) -> Option<Duration> {
        self.status.as_ref().map(|status| status.since.age_at(Tai64n::now()))
    }

    /// How often supervise has started it again without being asked to.
    pub fn restarts(&self) -> u32 {
        self.status.as_ref().and_then(|status| status.more.as_ref()).map_or(0, |more| more.restarts)
    }

    /// What [`Service::restarts`] will be when it has been started for the first time from now.
    pub fn restarts_once_up(&self) -> u32 {
        match self.condition() {
            Condition::Hidden | Condition::Unsupervised => 0,
            Condition::Up(_) | Condition::Paused(_) => self.restarts(),
            // The first start is no restart, nor is one that was asked for.
            Condition::Restarting if self.has_never_run() => 0,
            Condition::Down | Condition::Stopping(_) => self.restarts(),
            Condition::Restarting => self.restarts() + 1,
        }
    }

    /// Whether its supervise has not started it yet.
    fn has_never_run(&self) -> bool {
        match &self.status {
            None => true,
            Some(status) => {
                status.pid.is_none()
                    && status.more.as_ref().is_some_and(|more| more.restarts == 0 && more.last_exit.is_none())
            }
        }
    }

    /// Whether it last ended neither in order nor by a signal that ends or reloads services.
    pub fn ended_by_itself(&self) -> bool {
        let last =
            self.status.as_ref().and_then(|status| status.more.as_ref()).and_then(|more| more.last_exit);
        match last {
            None | Some(Exit::Code(0)) => false,
            Some(Exit::Signal(signal)) => ![Signal::SIGTERM as i32, Signal::SIGHUP as i32].contains(&signal),
            Some(Exit::Code(_) | Exit::Unknown) => true,
        }
    }

    /// Whether what runs counts as up to stay: it is ready, or takes longer than `time` to say so. Of one that does not say
    /// so itself supervise tells when it has been up for a second: its age alone tells nothing on a busy machine, where
    /// what has ended may not have been noticed yet.
    pub fn is_steady(&self, time: Duration) -> bool {
        let more = self.status.as_ref().and_then(|status| status.more.as_ref());
        more.is_some_and(|more| more.ready.is_some())
            || more.is_none_or(|more| more.says_ready) && self.age().is_some_and(|age| age >= time)
    }

    /// The process of a service whose supervise is gone, if it still runs.
    pub fn orphan(&self) -> Option<Pidfd> {
        let identity = self.status.as_ref()?.more.as_ref()?.identity.filter(|_| !self.supervised)?;
        running(&identity)
    }

    /// The pid of its supervise where that hears nothing: it is stopped (state T), or leaves letters unread.
    pub fn deaf(&self) -> Option<i32> {
        let pid = self.status.as_ref()?.more.as_ref()?.supervise.filter(|_| self.supervised)?.pid;
        let end = Instant::now() + HEARING;
        loop {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let stopped = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
            let unread = client::has_unread(&self.dir).unwrap_or(false);
            match stopped || unread {
                false => return None,
                true if end <= Instant::now() => return Some(pid),
                true => std::thread::sleep(HEARING / 20),
            }
        }
    }

    /// Whether anything of it runs.
    pub fn is_alive(&self) -> bool {
        self.supervised || self.orphan().is_some()
    }
}

/// A descriptor of the process with this identity; `None` when it has ended, its grave included (state Z).
pub fn running(identity: &Identity) -> Option<Pidfd> {
    let process = Pidfd::open(identity.pid).ok()?;
    let same = Identity::of(identity.pid).is_ok_and(|now| now == *identity);
    (same && !has_ended(&process)).then_some(process)
}

/// What to do about a supervise with this pid that hears nothing.
pub fn deaf(supervise: i32) -> String {
    format!(
        "its supervise (pid {supervise}) does not answer (kill -9 {supervise}: another takes over what runs)"
    )
}

/// Whether the process has ended, reaped or not.
pub fn has_ended(process: &Pidfd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Sends letters to the supervise of `dir`; false when there is none.
///
/// # Errors
/// What opening or writing the FIFO reports.
pub fn tell(dir: &Path, letters: &str) -> Result<bool, Trouble> {
    match client::send(dir, letters.as_bytes()) {
        Ok(()) => Ok(true),
        Err(e) if client::nobody_reads(&e) || e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(cannot("control", dir.display())(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicedir::status::More;

    fn service(pid: Option<i32>, want: Want, paused: bool) -> Service {
        let status = Status { since: Tai64n::now(), pid, paused, want, more: None };
        Service { dir: "/x".into(), hidden: false, supervised: true, status: Some(status), enabled: true }
    }

    #[test]
    fn a_status_is_put_into_the_words_of_an_operator() {
        for (pid, want, paused, condition) in [
            (Some(7), Want::Up, false, Condition::Up(7)),
            (Some(7), Want::Nothing, false, Condition::Up(7)),
            (Some(7), Want::Up, true, Condition::Paused(7)),
            (Some(7), Want::Down, false, Condition::Stopping(7)),
            (None, Want::Up, false, Condition::Restarting),
            (None, Want::Down, false, Condition::Down),
            (None, Want::Nothing, false, Condition::Down),
        ] {
            assert_eq!(service(pid, want, paused).condition(), condition);
        }
        let left = Service { supervised: false, ..service(Some(7), Want::Up, false) };
        assert_eq!(left.condition(), Condition::Unsupervised);
        let young = Service { status: None, ..service(None, Want::Up, false) };
        assert_eq!(young.condition(), Condition::Restarting);
    }

    #[test]
    fn a_start_that_was_asked_for_is_no_restart() {
        let more = |restarts, last_exit| More { restarts, last_exit, ..More::default() };
        for (pid, want, restarts, last_exit, then) in [
            (None, Want::Nothing, 0, None, 0),
            (None, Want::Nothing, 4, Some(Exit::Code(1)), 4),
            (None, Want::Up, 0, None, 0),
            (None, Want::Up, 0, Some(Exit::Code(0)), 1),
            (None, Want::Up, 4, Some(Exit::Code(1)), 5),
            (Some(7), Want::Up, 0, None, 0),
            (Some(7), Want::Up, 4, Some(Exit::Code(1)), 4),
            (Some(7), Want::Down, 4, Some(Exit::Code(1)), 4),
        ] {
            let mut service = service(pid, want, false);
            service.status.as_mut().unwrap().more = Some(more(restarts, last_exit));
            assert_eq!(service.restarts_once_up(), then, "{pid:?} {restarts} {last_exit:?}");
        }
        let left = Service { supervised: false, ..service(Some(7), Want::Up, false) };
        assert_eq!(left.restarts_once_up(), 0, "a new supervise counts from the beginning");
        let young = Service { status: None, ..service(None, Want::Up, false) };
        assert_eq!(young.restarts_once_up(), 0);
    }

    #[test]
    fn what_does_not_say_when_it_is_ready_is_steady_by_the_word_of_its_supervise_only() {
        let second = Duration::from_secs(1);
        let long_ago = Tai64n::from(std::time::SystemTime::now() - second * 60);
        for (says_ready, ready, since, steady) in [
            (false, None, long_ago, false),
            (false, Some(long_ago), long_ago, true),
            (true, Some(Tai64n::now()), Tai64n::now(), true),
            (true, None, Tai64n::from(std::time::SystemTime::now() + second * 60), false),
            (true, None, long_ago, true),
        ] {
            let mut service = service(Some(7), Want::Up, false);
            let more = Some(More { says_ready, ready, ..More::default() });
            service.status.iter_mut().for_each(|status| (status.since, status.more) = (since, more.clone()));
            assert_eq!(service.is_steady(second), steady, "{says_ready} {ready:?} {since:?}");
        }
        let of_daemontools = |since| {
            let mut service = service(Some(7), Want::Up, false);
            service.status.iter_mut().for_each(|status| status.since = since);
            service.is_steady(second)
        };
        assert!(
            of_daemontools(long_ago)
                && !of_daemontools(Tai64n::from(std::time::SystemTime::now() + second * 60))
        );
    }

    #[test]
    fn a_process_in_its_grave_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        assert!(running(&identity).is_some());
        assert!(running(&Identity { start_time: identity.start_time + 1, ..identity }).is_none());
        child.kill().unwrap();
        let process = Pidfd::open(identity.pid).unwrap();
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(60_000u16)).unwrap();
        assert!(running(&identity).is_none(), "it is a zombie now");
        child.wait().unwrap();
    }
}
