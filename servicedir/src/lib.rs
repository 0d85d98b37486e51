//! The service directory as a protocol.
