//! Clocks that a test sets, for the programs of its sandbox alone.
//!
//! A library that is loaded before a program (`wall_clock.c`) answers for its clocks. Programs that are linked statically
//! load none: these are those that `make build` leaves in target/release.
//! Debian's libfaketime would do the same, but leaves files in /dev/shm when a process is killed, as its README says.

use crate::{Programs, Sandbox};
use std::process::Command;

const FILE: &str = ".wall-clock";

/// The wall clock of all programs that a sandbox starts.
#[derive(Debug)]
pub struct WallClock<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> WallClock<'a> {
    /// A sandbox whose programs can be under a wall clock of their own.
    pub fn sandbox() -> Sandbox {
        Sandbox::with(Programs::ours_in(crate::checkout().join("target/release")))
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
        self.set(seconds, 0);
    }

    /// So many seconds have passed, as the clock that nobody sets tells. Who waits does not notice: wake it.
    pub fn pass(&self, seconds: u32) {
        self.set(0, seconds.into());
    }

    fn set(&self, wall: i64, monotonic: i64) {
        let new = self.sandbox.write(".wall-clock.new", format!("{wall} {monotonic}"));
        std::fs::rename(new, self.sandbox.path(FILE)).unwrap();
    }
}
