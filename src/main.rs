//! The `gapura` command.

fn main() {}
