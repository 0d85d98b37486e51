//! setuidgid.

fn main() {}
