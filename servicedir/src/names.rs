//! The names in a service directory.

/// What supervise runs.
pub const RUN: &str = "run";
/// Its presence keeps supervise from starting the service at first.
pub const DOWN: &str = "down";
/// The service directory of the service's logger.
pub const LOG: &str = "log";
/// Where supervise keeps its files, mode 0700.
pub const SUPERVISE: &str = "supervise";
/// Held exclusively by the one supervise of this directory.
pub const LOCK: &str = "supervise/lock";
/// FIFO of control letters.
pub const CONTROL: &str = "supervise/control";
/// FIFO that can be opened for writing exactly while supervise runs.
pub const OK: &str = "supervise/ok";
/// The present status.
pub const STATUS: &str = "supervise/status";
/// The next status, until it is renamed.
pub const STATUS_NEW: &str = "supervise/status.new";
/// The service's settings.
pub const SERVICE_TOML: &str = "service.toml";
/// The settings of a participant: what exo obeys, and who is told of problems.
pub const CONFIG_EXO: &str = "config.exo";
/// Where settings come from: ours, a participant's, and the files of s6 that say the same.
pub const SETTINGS: [&str; 6] =
    [SERVICE_TOML, CONFIG_EXO, "notification-fd", "timeout-kill", "timeout-finish", "down-signal"];
/// What supervise runs before the first `run`.
pub const START: &str = "start";
/// What supervise runs after each `run`.
pub const FINISH: &str = "finish";
/// The same, as daemontools-encore names it.
pub const STOP: &str = "stop";
