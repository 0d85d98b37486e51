//! Killed with -9 before every system call that it does, one after the other: supervise, multilog and svscan, and the
//! children that they make until those execute a program. What comes after them must find a world to go on with.
//!
//! `make test` takes some of the calls, others each time; `make chaos` (SKYNET_CHAOS_SECONDS is set) takes them all.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod every_call;

use every_call::{Whom, multilog, supervise, svscan, walk};

/// "Never two copies, also when it dies between fork and status: a child execs only after its pid, start time and boot id
/// are on record". A service is started, dies, is started again, is stopped and started by letters.
#[test]
fn fault_supervise_killed_before_any_system_call_the_service_is_adopted_and_never_runs_twice() {
    walk("supervise", 24, Whom::Program, supervise::plain);
}

/// A child that is killed before it executes its program has ended, and that is all.
#[test]
fn fault_child_of_supervise_killed_before_any_system_call_the_service_is_started_again() {
    walk("a child of supervise", 16, Whom::Child, supervise::plain);
}

/// The same with settings, `./start` and `./finish`.
#[test]
fn fault_supervise_with_scripts_killed_before_any_system_call_they_run_one_after_the_other() {
    walk("supervise with scripts", 36, Whom::Program, supervise::scripted);
}

/// "A multilog killed with -9 may lose what it had read and not yet written, at most one read".
#[test]
fn fault_multilog_killed_before_any_system_call_loses_one_read_at_most() {
    walk("multilog", 20, Whom::Program, multilog::plain);
}

/// With a processor, whose child may be killed too.
#[test]
fn fault_multilog_with_a_processor_killed_before_any_system_call_loses_one_read_at_most() {
    walk("multilog with a processor", 20, Whom::Program, multilog::processed);
}

/// "svscan dies: services, supervises and loggers go on. A new svscan … regains the log pipe".
#[test]
fn fault_svscan_killed_before_any_system_call_a_new_one_takes_over_and_the_pipe_loses_nothing() {
    walk("svscan", 20, Whom::Program, svscan::pair);
}
