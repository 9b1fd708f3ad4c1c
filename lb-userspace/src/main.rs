//! `xdplb`: the agent and its command line in one binary.

use std::process::ExitCode;

use clap::Parser as _;
use lb_userspace::cli::{self, args::Cli};

fn main() -> ExitCode {
    cli::execute(Cli::parse())
}
