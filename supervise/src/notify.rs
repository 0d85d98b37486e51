//! The command that is told of problems: a short-lived child of its own, never in the way of supervision.
//!
//! One runs at a time, and at most [`MOST`] are started in a [`SPAN`]; meanwhile the latest change waits.

use crate::machine::{Moment, Trouble};
use crate::supervisor::Supervisor;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use unix::launch::Launch;
use unix::process::{self, Exit, Signal};
use unix::words::Words;

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);
const MOST: usize = 5;
const SPAN: Duration = Duration::from_secs(60);

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    trouble: Trouble,
    exit: Option<Exit>,
    count: u32,
}

/// The command at work, and what waits for it.
#[derive(Default)]
pub struct Notifier {
    running: Option<(i32, Moment)>,
    waiting: Option<(News, Moment)>,
    started: [Option<Moment>; MOST],
}

impl Notifier {
    /// Something is to be told.
    pub fn tell(&mut self, trouble: Trouble, exit: Option<Exit>, count: u32, now: Moment) {
        let at = self.started[0].map_or(now, |first| now.max(first + SPAN));
        self.waiting = Some((News { trouble, exit, count }, at));
    }

    /// When there is something to do.
    pub fn deadline(&self) -> Option<Moment> {
        match (self.running, self.waiting) {
            (Some((_, kill_at)), _) => Some(kill_at),
            (None, Some((_, at))) => Some(at),
            (None, None) => None,
        }
    }

    /// What is to be told now. From now on it counts as told.
    fn take(&mut self, now: Moment) -> Option<News> {
        let (news, _) = self.waiting.filter(|(_, at)| self.running.is_none() && *at <= now)?;
        self.waiting = None;
        self.started.rotate_left(1);
        self.started[MOST - 1] = Some(now);
        Some(news)
    }

    /// A child ended. Where that was the command and it failed: what to say.
    pub fn buried(&mut self, pid: i32, exit: Exit) -> Option<String> {
        self.running.take_if(|(running, _)| *running == pid)?;
        match exit {
            Exit::Code(0) => None,
            Exit::Code(code) => Some(format!("the notify command exited with {code}")),
            Exit::Signal(signal) => Some(format!("the notify command was ended by signal {signal}")),
            Exit::Unknown => None,
        }
    }
}

impl Supervisor {
    /// Runs the command where there is something to tell, and ends one that takes too long.
    pub(crate) fn notify_what_is_due(&mut self) {
        let now = self.now();
        if let Some((pid, kill_at)) = &mut self.notifier.running
            && *kill_at <= now
        {
            *kill_at = Moment::MAX;
            // It leads a session of its own, and has not been reaped.
            let _ = process::signal_child_group(*pid, Signal::SIGKILL);
        }
        let Some(news) = self.notifier.take(now) else { return };
        if self.settings.policy.notify.is_empty() {
            return;
        }
        match self.run_command(news) {
            Ok(pid) => self.notifier.running = Some((pid, now + LIMIT)),
            Err(e) => {
                let words = format!("unable to run the notify command for {}: {}", self.name(), Words(&e));
                self.warn(words.as_bytes());
            }
        }
    }

    fn run_command(&self, news: News) -> io::Result<i32> {
        let words: Vec<CString> = self
            .settings
            .policy
            .notify
            .iter()
            .map(|word| Ok(CString::new(word.as_str())?))
            .collect::<io::Result<_>>()?;
        let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
        let environment = environment(&service(&self.dir), news);
        // Our standard input and output may be the pipe of a log pair.
        let nothing = File::open("/dev/null")?;
        let stderr = io::stderr();
        let launch = Launch {
            words: &words,
            environment: &environment,
            session: true,
            descriptors: &[(nothing.as_fd(), 0), (stderr.as_fd(), 1)],
            ..Launch::default()
        };
        let launched = launch.start(&mut |_, _| Ok(()))?;
        launched.failed.map_or(Ok(launched.pid), |(_, errno)| Err(errno.into()))
    }
}

/// What the command finds in its environment.
fn environment(service: &[u8], news: News) -> Vec<CString> {
    let event = match news.trouble {
        Trouble::Crash => "crash",
        Trouble::Backoff => "backoff",
        Trouble::Failed => "failed",
        Trouble::Recovered => "recovered",
    };
    let exit = match news.exit {
        None => String::new(),
        Some(Exit::Code(code)) => format!("code {code}"),
        Some(Exit::Signal(signal)) => format!("signal {signal}"),
        Some(Exit::Unknown) => "unknown".into(),
    };
    let variable = |name: &str, value: &[u8]| {
        CString::new([name.as_bytes(), b"=", value].concat()).unwrap_or_default() // no name holds NUL
    };
    vec![
        variable("SKYNET_SERVICE", service),
        variable("SKYNET_EVENT", event.as_bytes()),
        variable("SKYNET_EXIT", exit.as_bytes()),
        variable("SKYNET_COUNT", news.count.to_string().as_bytes()),
    ]
}

/// The service as people know it: the name it was given, or for a logger that of its service and `/log`.
fn service(dir: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let name = dir.trim_ascii_end().rsplit(|b| *b == b'/').find(|part| !part.is_empty()).unwrap_or(dir);
    if name != b"log" && name != b"." {
        return name.to_vec();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let of =
        |path: &std::path::Path| path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
    match (name, here.parent()) {
        (b"log", Some(parent)) => [of(parent), b"/log".to_vec()].concat(),
        _ => of(&here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_at_a_time_and_five_a_minute_at_most_and_the_latest_counts() {
        let at = Duration::from_secs;
        let mut notifier = Notifier::default();
        for second in 0..5 {
            notifier.tell(Trouble::Crash, None, 1, at(second));
            assert!(notifier.take(at(second)).is_some());
            notifier.running = Some((7, at(second + 30)));
            notifier.tell(Trouble::Backoff, None, 2, at(second));
            assert_eq!(notifier.take(at(second)), None);
            assert_eq!(notifier.buried(7, Exit::Code(0)), None);
            notifier.waiting = None;
        }
        notifier.tell(Trouble::Backoff, None, 6, at(6));
        notifier.tell(Trouble::Failed, None, 7, at(7));
        assert_eq!(notifier.deadline(), Some(at(60)));
        assert_eq!(notifier.take(at(59)), None);
        assert_eq!(notifier.take(at(60)).map(|news| (news.trouble, news.count)), Some((Trouble::Failed, 7)));
    }

    #[test]
    fn the_command_that_fails_is_named_and_no_other() {
        let mut notifier = Notifier { running: Some((7, Moment::ZERO)), ..Notifier::default() };
        assert_eq!(notifier.buried(8, Exit::Code(1)), None);
        assert!(notifier.buried(7, Exit::Code(1)).is_some());
        assert_eq!(notifier.buried(7, Exit::Code(1)), None);
    }

    #[test]
    fn the_command_is_told_service_event_exit_and_count() {
        let news = News { trouble: Trouble::Failed, exit: Some(Exit::Signal(11)), count: 3 };
        let text: Vec<_> =
            environment(b"sizer", news).iter().map(|v| v.to_string_lossy().into_owned()).collect();
        assert_eq!(
            text,
            ["SKYNET_SERVICE=sizer", "SKYNET_EVENT=failed", "SKYNET_EXIT=signal 11", "SKYNET_COUNT=3"]
        );
    }
}
