//! svok.

fn main() {}
