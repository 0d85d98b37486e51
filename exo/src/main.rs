//! exo.

fn main() {}
