//! Service directories: written as an administrator writes them, read as any program may read them.

use crate::running::Running;
use crate::sandbox::Sandbox;
use servicedir::status::Status;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A service directory in a sandbox.
#[derive(Debug)]
pub struct Service<'a> {
    sandbox: &'a Sandbox,
    name: PathBuf,
}

impl<'a> Service<'a> {
    /// A service directory whose `run` is this shell script.
    pub fn new(sandbox: &'a Sandbox, name: impl AsRef<Path>, script: &str) -> Self {
        let service = Self::empty(sandbox, name);
        service.run(script);
        service
    }

    /// A service directory with nothing in it.
    pub fn empty(sandbox: &'a Sandbox, name: impl AsRef<Path>) -> Self {
        sandbox.folder(&name);
        Self { sandbox, name: name.as_ref().to_owned() }
    }

    /// A service that only sleeps.
    pub fn sleeper(sandbox: &'a Sandbox, name: impl AsRef<Path>) -> Self {
        Self::new(sandbox, name, "exec sleep 1000")
    }

    /// A service that only sleeps, made as one should while svscan looks on: whole under a dot name, then renamed.
    pub fn moved_in(sandbox: &'a Sandbox, folder: &str, name: &str) -> Self {
        let path = format!("{folder}/{name}");
        let hidden = Self::sleeper(sandbox, format!("{folder}/.{name}"));
        fs::rename(hidden.path(""), sandbox.path(&path)).unwrap();
        Self { sandbox, name: path.into() }
    }

    /// Writes `run` anew, replaced by rename as a careful administrator does.
    pub fn run(&self, script: &str) {
        self.sandbox.script(self.name.join("run.new"), script);
        fs::rename(self.path("run.new"), self.path("run")).unwrap();
    }

    /// Adds `log/run` with this shell script.
    #[must_use]
    pub fn with_log(self, script: &str) -> Self {
        self.sandbox.script(self.name.join("log/run"), script);
        self
    }

    /// Adds the file `down`.
    #[must_use]
    pub fn down(self) -> Self {
        self.sandbox.write(self.name.join("down"), "");
        self
    }

    /// The path of something in it.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.sandbox.path(&self.name).join(path)
    }

    /// What a file in it holds; one that is not there is empty.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        self.sandbox.read(self.name.join(path))
    }

    /// The permission bits of something in it.
    pub fn mode(&self, path: impl AsRef<Path>) -> u32 {
        self.path(path).symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    /// What `supervise/status` says; `None` when it cannot be read.
    pub fn status(&self) -> Option<Status> {
        Status::from_bytes(&fs::read(self.path("supervise/status")).ok()?)
    }

    /// The pid that `supervise/status` tells.
    pub fn pid(&self) -> Option<i32> {
        self.status()?.pid
    }

    /// Whether a supervise runs here.
    pub fn is_supervised(&self) -> bool {
        servicedir::client::is_running(&self.path("")).unwrap_or(false)
    }

    /// Starts `supervise NAME`, outside any svscan, and waits until it runs.
    pub fn supervise(&self) -> Running {
        let mut supervise = self.sandbox.start("supervise", &[self.name()]);
        self.sandbox.wait_until("supervise runs", || {
            assert!(supervise.runs(), "supervise has ended: {}", supervise.told());
            self.is_supervised() && self.status().is_some()
        });
        supervise
    }

    /// Runs `svc` with an option on it, which must say nothing.
    pub fn svc(&self, option: &str) {
        let done = self.sandbox.run("svc", &[option, self.name()]);
        assert_eq!(done.told(), (0, "", ""), "svc {option} {}", self.name());
    }

    /// What `svstat` says of it after its name, with pids and times masked.
    pub fn svstat(&self) -> String {
        let done = self.sandbox.run("svstat", &[self.name()]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "svstat {}", self.name());
        let line = done.out.strip_prefix(&format!("{}: ", self.name())).unwrap_or(&done.out);
        crate::mask::pids_and_times(line.trim_end_matches('\n'))
    }

    /// Waits until `svstat` says this.
    pub fn wait_until_svstat(&self, line: &str) {
        let what = format!("svstat {} says {line:?}", self.name());
        self.sandbox.wait_until(&what, || self.svstat() == line);
    }

    /// Its name, relative to the sandbox's folder.
    pub fn name(&self) -> &str {
        self.name.to_str().unwrap()
    }

    /// Waits until it is up, and returns its pid. That is the process of `run`, not the supervise's child
    /// that has not executed it yet.
    pub fn wait_until_up(&self) -> i32 {
        self.wait_until_another(0)
    }

    /// Waits until it is up with another pid, and returns that.
    pub fn wait_until_another(&self, pid: i32) -> i32 {
        let what = format!("{} is up with another pid than {pid}", self.name.display());
        self.sandbox.wait_for(&what, || {
            let now = self.pid().filter(|now| *now != pid)?;
            let executable = fs::read_link(format!("/proc/{now}/exe")).ok()?;
            (!executable.ends_with("supervise")).then_some(now)
        })
    }

    /// Waits until its supervise holds it for ready: of a service that does not say so itself that is the last change that
    /// supervise writes on its own account.
    pub fn wait_until_ready(&self) {
        let what = format!("{} is ready", self.name.display());
        let ready = |status: Status| status.more.is_some_and(|more| more.ready.is_some());
        self.sandbox.wait_until(&what, || self.status().is_some_and(ready));
    }

    /// Waits until it is down.
    pub fn wait_until_down(&self) {
        let what = format!("{} is down", self.name.display());
        self.sandbox.wait_until(&what, || self.status().is_some_and(|status| status.pid.is_none()));
    }

    /// Waits until a file in it holds a text.
    pub fn wait_until_it_holds(&self, path: &str, text: &str) {
        let what = format!("{}/{path} holds {text:?}", self.name.display());
        self.sandbox.wait_until(&what, || self.read(path).contains(text));
    }
}
