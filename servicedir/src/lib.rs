//! The service directory as a protocol: how supervise, svc, svstat, svok, svscan and skynet meet.
//!
//! ```text
//! NAME/run                 what supervise runs
//! NAME/down                its presence: do not start at first
//! NAME/log/                a service directory of its own; its run reads NAME's standard output
//! NAME/supervise/lock      one supervise per directory, and which             [station], [holder]
//! NAME/service.toml        settings, read by service-config                   [policy]
//! NAME/supervise/control   FIFO: one letter per command                       [control], [client]
//! NAME/supervise/ok        FIFO: can be opened for writing while supervise runs [client]
//! NAME/supervise/status    18 bytes of daemontools, then ours                 [status]
//! ```
//!
//! Names are in [names]; what svscan tells a supervise that it starts, in [errand].
//!
//! Formats: daemontools 0.76 (`https://cr.yp.to/daemontools/supervise.html` and the behaviour of its programs);
//! what we add to `status` stands in [`status`].
#![forbid(unsafe_code)]

pub mod client;
pub mod control;
pub mod errand;
pub mod holder;
pub mod names;
pub mod policy;
pub mod station;
pub mod status;
