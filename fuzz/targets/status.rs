//! `supervise/status`: whatever the bytes are, they are a status or none, and the 18 of daemontools are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicedir::status::{PLAIN, Status};
use unix::tai64n::Tai64n;

fuzz_target!(|bytes: &[u8]| {
    let Some(status) = Status::from_bytes(bytes) else {
        assert!(bytes.len() < PLAIN, "18 bytes are a status");
        return;
    };
    let written = status.to_bytes();
    assert_eq!(written[..16], bytes[..16], "time and pid are kept as they are");
    let again = Status::from_bytes(&written).expect("what we write we can read");
    assert_eq!(written, again.to_bytes(), "reading and writing settles");
    // svstat computes these from any file.
    let _ = status.since.age_at(Tai64n::now());
    let _ = status.since.to_system_time();
});
