//! What a newcomer types: set-up, tests, demo; and the fuzzer.

mod demo;
mod fuzz;
mod process;
mod setup;
mod tally;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing; asks nothing, and does nothing the second time.
    Setup,
    /// Set up, then formatting, lints, unit tests, packet tables, system stories, documentation.
    Test,
    /// Show xdplb at work in a lab of network namespaces.
    Demo(demo::Arguments),
    /// Run the data plane against its model on stories that nobody has thought of, until one differs.
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::run().map(|()| true),
        Task::Test => Ok(test::run()),
        Task::Demo(arguments) => demo::run(&arguments).map(|()| true),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
