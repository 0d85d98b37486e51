//! Workitems on the wire.
