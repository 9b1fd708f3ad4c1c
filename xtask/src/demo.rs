//! `cargo xtask demo`: sets up, builds, and becomes the demo.

use std::{os::unix::process::CommandExt, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{process, setup};

/// A first build on two cores takes a few minutes.
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What the demo takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the lab standing at the end, to play with.
    #[arg(long)]
    keep: bool,
    /// Remove the lab that an earlier `--keep` left, and do nothing else.
    #[arg(long)]
    clean: bool,
}

/// Returns only when something is wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.clean {
        setup::run()?;
    }
    let mut cargo = process::cargo();
    cargo.current_dir(process::root());
    cargo.args(["build", "-p", "lb-userspace", "-p", "lb-tests", "--bins"]);
    let built = process::run(&mut cargo, BUILD_LIMIT)?;
    ensure!(built.success(), "the build failed; what to do is said above");

    // Its binaries are where ours is.
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut demo = Command::new(own.with_file_name("lab-demo"));
    if arguments.keep {
        demo.arg("--keep");
    }
    if arguments.clean {
        demo.arg("--clean");
    }
    // In our place, so that a Ctrl-C is its alone.
    Err(demo.exec()).context("cannot start the demo; run `cargo build -p lb-tests --bins`")
}
