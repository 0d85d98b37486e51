//! `skynet local up|down|status`: a SkyNET of one's own, in a home.
//!
//! | file | idea |
//! |---|---|
//! | `broker.rs` | the embedded broker's port, password and service directory, or none where the home uses RabbitMQ |
//! | `svscan.rs` | the one svscan of this home: started detached, on record, found again |
//! | `lock.rs` | one `local up` or `local down` at a time |
//! | `up.rs`, `down.rs`, `status.rs` | the verbs |

pub mod broker;
pub mod down;
mod lock;
pub mod status;
pub mod svscan;
pub mod up;

/// What to do about a broker that is not ours and does not answer.
pub const ELSEWHERE: &str = "is amqp.url in boss.conf right? back to the embedded one: skynet local down, \
                             then skynet local up --broker embedded";
