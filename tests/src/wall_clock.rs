//! A wall clock that a test sets, for the programs of its sandbox alone.
//!
//! A library that is loaded before a program (`wall_clock.c`) answers for its wall clock. What `make build` makes is linked
//! statically and loads none: the programs are those of a debug build, which cargo makes here where they are not fresh.
//! Debian's libfaketime would do the same, but leaves files in /dev/shm when a process is killed, as its README says.

use crate::{Programs, Sandbox};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const FILE: &str = ".wall-clock";

/// The wall clock of all programs that a sandbox starts.
#[derive(Debug)]
pub struct WallClock<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> WallClock<'a> {
    /// A sandbox whose programs can be under a wall clock of their own.
    pub fn sandbox() -> Sandbox {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        Sandbox::with(Programs::ours_in(BUILT.get_or_init(build)))
    }

    /// Such a clock, right so far, for all programs started from now on.
    pub fn of(sandbox: &'a Sandbox) -> Self {
        let library = sandbox.path(".wall-clock.so");
        let source = crate::checkout().join("tests/src/wall_clock.c");
        let mut compile = Command::new("cc");
        let made =
            compile.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let clock = Self { sandbox };
        clock.set_off(0);
        sandbox.set("SKYNET_TEST_WALL_CLOCK", sandbox.path(FILE).display());
        sandbox.set("LD_PRELOAD", library.display());
        clock
    }

    /// Sets it: by so many seconds it is ahead from now on, or behind.
    pub fn set_off(&self, seconds: i64) {
        let new = self.sandbox.write(".wall-clock.new", seconds.to_string());
        std::fs::rename(new, self.sandbox.path(FILE)).unwrap();
    }
}

/// Builds the programs, beside this very test, and returns their folder.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/TEST");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::checkout()).args(["build", "--quiet", "--offline", "--target-dir"]).arg(target);
    cargo.args(["-p", "supervise", "-p", "svctl", "-p", "multilog"]);
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug")
}
