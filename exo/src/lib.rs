//! The session between broker and handler.
