//! `xdplb`: the agent and its command line in one binary.

fn main() {}
