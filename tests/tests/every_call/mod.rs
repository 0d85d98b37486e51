//! The walk: how often a scenario is played, and who is killed when.

pub mod multilog;
pub mod supervise;
pub mod svscan;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tests::chaos::{Chance, seed};
use tests::{Running, Sandbox};

/// They mostly wait: more of them at once than there are cores.
const AT_ONCE: usize = 12;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The program, also where it is a child of it that is about to do the call.
    Program,
    /// A child, which is about to do the call. Only calls of children count.
    Child,
}

/// A program that is killed before its Nth system call.
pub struct Doomed {
    pub process: Running,
    whom: Whom,
}

impl Doomed {
    /// Starts a program in a sandbox.
    pub fn start(sandbox: &Sandbox, fate: Fate, program: &str, arguments: &[&str]) -> Self {
        Self::spawn(sandbox, fate, program, arguments, std::process::Stdio::null())
    }

    /// Starts it with this as its standard input.
    pub fn spawn(
        sandbox: &Sandbox,
        fate: Fate,
        program: &str,
        arguments: &[&str],
        input: impl Into<std::process::Stdio>,
    ) -> Self {
        let whom = if fate.whom == Whom::Program { "program" } else { "child" };
        let path = sandbox.programs().path(program);
        let n = fate.n.to_string();
        let words = [&[n.as_str(), whom, path.to_str().unwrap()], arguments].concat();
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_killer"), &words);
        command.stdin(input);
        Self { process: sandbox.spawn(command), whom: fate.whom }
    }

    /// Whether it was killed. One that came to its end by itself was not.
    pub fn was_killed(&mut self) -> bool {
        self.whom == Whom::Program && !self.process.runs() && matches!(self.end(), End::Killed(_))
    }

    /// What became of it, once it does not run any more.
    pub fn end(&mut self) -> End {
        let done = self.process.finish();
        // An end of the harness is no end of the program.
        assert_eq!(done.code, Some(0), "{}", self.process.told());
        let last = done.out.lines().last().unwrap_or_default().to_owned();
        match last.strip_prefix("through ") {
            Some(count) => End::Through(count.parse().unwrap()),
            None => End::Killed(last),
        }
    }
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended by itself, after so many calls.
    Through(u64),
    /// It, or a child of it, was killed: before which call.
    Killed(String),
}

/// Who is killed before which call. The 0th never comes.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub n: u64,
    pub whom: Whom,
}

/// Plays a scenario for each call that it comes to: all of them, or one of `share` where `make chaos` is not asked for.
pub fn walk(name: &str, share: u64, whom: Whom, scenario: fn(Fate) -> End) {
    let share = if std::env::var_os("SKYNET_CHAOS_SECONDS").is_some() { 1 } else { share };
    let End::Through(count) = scenario(Fate { n: 0, whom }) else { panic!("nobody was to be killed") };
    let seed = seed();
    let next = AtomicU64::new(1 + Chance::new(seed).below(share));
    let (failed, ends) = (AtomicBool::new(false), Mutex::new(String::new()));
    let killed = AtomicU64::new(0);
    // One walk may come to more calls than another.
    let last = count + 20;
    let play = || {
        while !failed.load(Ordering::Relaxed) {
            let n = next.fetch_add(share, Ordering::Relaxed);
            if n > last {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| scenario(Fate { n, whom }))) {
                Ok(End::Through(_)) => {}
                Ok(End::Killed(_)) => drop(killed.fetch_add(1, Ordering::Relaxed)),
                Err(why) => {
                    failed.store(true, Ordering::Relaxed);
                    let why = why.downcast_ref::<String>().map_or("", String::as_str);
                    writeln!(ends.lock().unwrap(), "--- killed before call {n}: {why}").unwrap();
                }
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(play))));
    println!("{name}: killed before {} of {count} system calls", killed.load(Ordering::Relaxed));
    let ends = ends.into_inner().unwrap();
    assert!(ends.is_empty(), "{name} (SKYNET_CHAOS_SEED={seed}):\n{ends}");
    assert!(killed.load(Ordering::Relaxed) >= count / share / 2, "hardly anybody was killed");
}
