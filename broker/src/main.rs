//! broker.

fn main() {}
