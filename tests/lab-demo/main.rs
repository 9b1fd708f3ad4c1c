//! The engine of `cargo xtask demo`.
fn main() {}
