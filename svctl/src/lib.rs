//! What svc, svstat and svok (in `bin/`) do together or let others do.
//!
//! | module | idea |
//! |---|---|
//! | [`options`] | options as daemontools reads them |
//! | [`visit`] | walking into service directories and back; output whose names may be any bytes |
//! | [`waiting`] | `svc -w`: what becomes of a service |
//! | [`describe`] | `svstat -v` and `--json` |
#![forbid(unsafe_code)]

pub mod describe;
pub mod options;
pub mod visit;
pub mod waiting;
