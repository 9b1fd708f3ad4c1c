//! `cargo xtask fuzz`: the loaded program against its model, story after story, until a difference or the end of the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::{process, setup};

/// A first build on two cores takes a few minutes, and a story that is made shorter takes seconds.
const BESIDE: Duration = Duration::from_secs(20 * 60);

/// What the fuzzer takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The seed of the first story; the next one has the next seed. Another one each time, if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long to go on.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
}

/// True when nothing differed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    setup::run()?;
    let seed = arguments.seed.unwrap_or_else(now);
    println!("from seed {seed} on, for {} minutes", arguments.minutes);
    let mut cargo = process::cargo();
    cargo.current_dir(process::root());
    cargo.args(["test", "--package", "lb-tests", "--test", "fuzz"]);
    cargo.args(["--", "--exact", "run::the_program_does_what_the_model_says", "--nocapture"]);
    cargo.env("XDPLB_FUZZ_SEED", seed.to_string());
    cargo.env("XDPLB_FUZZ_MINUTES", arguments.minutes.to_string());
    cargo.env("RUST_BACKTRACE", "0");
    let limit = BESIDE + Duration::from_secs(arguments.minutes * 60);
    Ok(process::run(&mut cargo, limit)?.success())
}

/// Milliseconds since 1970: short enough to be typed again.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
