//! What a newcomer types: set-up, demo, tests.

fn main() {}
