//! What svc, svstat and svok share: options as daemontools reads them, and walking into service directories.
#![forbid(unsafe_code)]

pub mod describe;
pub mod options;
pub mod visit;
pub mod waiting;
