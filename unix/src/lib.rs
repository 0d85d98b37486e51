//! The system calls SkyNET needs, safely: the one home of `unsafe`, one module per need.
//!
//! | module | need |
//! |---|---|
//! | [`tai64n`] | the time label of daemontools |
//! | [`words`] | error words as daemontools prints them |
//! | [`clock`] | the clock that nobody can set |
//! | [`signals`] | signals as readable descriptor (self-pipe) |
//! | [`kept`] | signal handlers that somebody else in the process may have replaced |
//! | [`fault`] | what is said of a fault that ends the process, in a file and in the log |
//! | [`awake`] | waiting for descriptors and signals at once, without allocation |
//! | [`launch`] | a child that executes only once it is on record |
//! | [`process`] | who a pid is (start time, boot id), pidfds, reaping |
//! | [`fds`] | close-on-exec, pipes, FIFOs |
//! | [`privileges`] | becoming another user for good |
//! | [`secret`] | secrets for the next program |
//! | [`before_main`] | what Rust's runtime changes before `main`, undone; the memory of the last argument |
//! | [`execution`] | becoming another program |
//! | [`marked`] | a mark on an open file, for whoever looks |
//! | [`local_time`] | the local time of a second |
//! | [`apart`] | a thread with an umask of its own |
//! | [`forked`] | what is not for children that somebody else forks |
//! | [`inherited`] | descriptors that somebody else left open |
//! | [`writeback`] | beginning to write to disk |
//! | [`handed`] | a child with a working directory and descriptors of choice |

pub mod apart;
pub mod awake;
pub mod before_main;
pub mod clock;
pub mod execution;
pub mod fault;
pub mod fds;
pub mod forked;
pub mod handed;
pub mod inherited;
pub mod kept;
pub mod launch;
pub mod local_time;
pub mod marked;
pub mod privileges;
pub mod process;
pub mod secret;
pub mod signals;
pub mod tai64n;
pub mod words;
pub mod writeback;
