//! The settings of a participant.
