//! A supervision tree in chaos: who is in it, what happens to it, and what the services say of it afterwards.
//!
//! | module | idea |
//! |---|---|
//! | `site.rs` | one service with its logger, and what both have noted |
//! | `tree.rs` | svscan and all below it, as /proc shows them |
//! | `chaos.rs` | what chance does to the tree |
//! | `disk.rs` | the small disk that it lives on |
//! | `aftermath.rs` | after the chaos: all comes back, and ends |
//! | `judge.rs` | what the logs must hold |
//! | `journal.rs` | what was done, and when |

pub mod aftermath;
pub mod chaos;
pub mod disk;
pub mod journal;
pub mod judge;
pub mod site;
pub mod tree;
