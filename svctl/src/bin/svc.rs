//! svc.

fn main() {}
