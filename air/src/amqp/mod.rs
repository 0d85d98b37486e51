//! Everything that speaks to a broker.
//!
//! | module | idea |
//! |---|---|
//! | [`client`] | the protocol: connections, channels, deliveries, confirms |
//! | `broker` | a broker that a participant is connected to: a consumer, a publisher, and whether all is well |
//! | [`link`] | a task that is connected as often as it can be |
//! | [`line`] | a connection for as long as one command runs |
//! | [`carrier`] | AIR over a broker |

mod broker;
pub mod carrier;
pub mod client;
pub mod line;
pub mod link;
