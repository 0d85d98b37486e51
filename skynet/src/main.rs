//! skynet.

fn main() {}
