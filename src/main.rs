//! The `posgate` program.

fn main() {}
