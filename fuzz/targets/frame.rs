//! What a peer sends to skynet-broker: cut into frames, methods and content headers.
#![no_main]

// The broker is a program; its readers are taken as they stand.
#[path = "../../broker/src/message.rs"]
#[allow(dead_code)]
mod message;
#[path = "../../broker/src/old.rs"]
#[allow(dead_code)]
mod old;
#[path = "../../broker/src/wire.rs"]
#[allow(dead_code)]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(raw)) = wire::cut(rest) {
        match raw.kind {
            wire::Kind::Method => {
                drop(wire::method(&raw, old::Version::Today));
                drop(wire::method(&raw, old::Version::Old));
            }
            wire::Kind::Header => {
                let _ = message::heed(raw.payload);
                let _ = message::headers(raw.payload);
                let _ = message::with_properties(raw.payload, |properties| properties);
            }
            wire::Kind::Body | wire::Kind::Heartbeat => {}
        }
        rest = &rest[raw.frame.len()..];
    }
});
