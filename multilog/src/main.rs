//! multilog.

fn main() {}
