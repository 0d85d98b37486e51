//! What the small programs of daemontools share. Each program is one file in `bin/`.
//!
//! | file | idea |
//! |---|---|
//! | `failure.rs` | usage and fatal lines, with their exit codes |
//! | `options.rs` | single-letter options, with and without argument |
//! | `child.rs` | the program a wrapper becomes: the search of PATH |
//! | `environment.rs` | variables, changed as daemontools changes them |
//! | `account.rs` | an account by its name |
//! | `value.rs` | what envdir makes of a file's bytes; pure |
//! | `limit.rs` | what softlimit's arguments mean; pure |
//! | `filter.rs` | standard input through a function to standard output |
//! | `stamp.rs` | tai64n: a label before each line; pure |
//! | `unstamp.rs` | tai64nlocal: labels as local time; pure |
//! | `ring.rs` | readproctitle: the last bytes of its input; pure |
#![forbid(unsafe_code)]

pub mod account;
pub mod child;
pub mod environment;
pub mod failure;
pub mod filter;
pub mod limit;
pub mod options;
pub mod ring;
pub mod stamp;
pub mod unstamp;
pub mod value;
