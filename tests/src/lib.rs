//! The harness of the end-to-end tests: they drive the real programs and look from outside.
//!
//! | module | what it gives a test |
//! |---|---|
//! | [`sandbox`] | a folder of its own, programs in a cleared environment, and nothing left afterwards |
//! | [`running`] | a program that was started: its output, its end, signals to it |
//! | [`process`] | processes as /proc shows them |
//! | [`programs`] | `ours` and `theirs`: one suite for both |
//! | [`service`] | service directories, and their state as a reader of `supervise/` sees it |
//! | [`files`] | files that are run as soon as they are written |
//! | [`waiting`] | waiting for a condition, never for a time |
//! | [`chaos`] | chance told by a seed, how long chaos lasts, numbered lines |
//! | [`wall_clock`] | a wall clock that jumps |
//! | [`mounts`] | file systems of a test's own: small ones, and such as cannot be written |
//! | [`mask`] | transcripts without pids and times |
//! | [`broker`] | a virtual host of a RabbitMQ node, or of our own broker in the sandbox |
//! | [`cluster`] | RabbitMQ nodes of a test's own, to be stopped and killed |
//! | [`participant`] | a participant under exo, and workitems for it |
//! | [`amqp`] | a blocking AMQP client |
//! | [`stage`] | AMQP frame by frame, and what came back, to hold two brokers against each other |
//!
//! `tests/setup` gets what the machine must have; `make build` makes the programs. A test of the supervision
//! programs is written once, as a function of the [`programs::Programs`] it runs, and listed in [`on_both!`].
#![forbid(unsafe_code)]
// A harness ends a test where something is not as it must be, and says so.
#![allow(clippy::unwrap_used, reason = "this library is used by tests only")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how a test fails")]

pub mod amqp;
pub mod broker;
pub mod chaos;
pub mod cluster;
pub mod files;
pub mod mask;
pub mod mounts;
pub mod pair;
pub mod participant;
pub mod process;
pub mod programs;
mod rabbitmq;
pub mod running;
pub mod sandbox;
pub mod service;
pub mod stage;
pub mod waiting;
pub mod wall_clock;

pub use broker::Broker;
pub use cluster::Cluster;
pub use pair::Pair;
pub use participant::{Participant, workitem};
pub use programs::Programs;
pub use running::{Done, Running};
pub use sandbox::Sandbox;
pub use waiting::wait_until;
pub use wall_clock::WallClock;

/// The root of the checkout.
pub fn checkout() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Makes each of these functions of `Programs` two tests: `theirs::NAME` with Debian's daemontools and
/// `ours::NAME` with what `make build` made.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod theirs {
            $(#[test] fn $name() { super::$name($crate::Programs::theirs()); })*
        }
        mod ours {
            $(#[test] fn $name() { super::$name($crate::Programs::ours()); })*
        }
    };
}
