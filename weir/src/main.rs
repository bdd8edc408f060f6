//! The `weir` binary: the command line and the wiring behind it.

fn main() {}
