//! `cargo xtask test`: the whole picture, even when a step fails; the last line sums it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{process, setup, tally::Tally};

/// No step takes longer unless something hangs; all of them together stay below 25 minutes on two cores.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Where tests that skip themselves say so.
const SKIP_LOG: &str = "XDPLB_SKIP_LOG";

/// What a step's result is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its exit status; it counts as one.
    Check,
    /// What libtest says.
    Tests,
    /// Nothing; it counts only when it fails.
    Build,
}

struct Step {
    title: &'static str,
    kind: Kind,
    arguments: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { title: "formatting", kind: Kind::Check, arguments: &["fmt", "--all", "--check"] },
    Step {
        title: "lints",
        kind: Kind::Check,
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    },
    Step {
        title: "unit tests",
        kind: Kind::Tests,
        arguments: &["test", "--workspace", "--exclude", "lb-tests", "--no-fail-fast"],
    },
    Step {
        title: "what the stories run",
        kind: Kind::Build,
        arguments: &["build", "-p", "lb-userspace", "-p", "lb-tests", "--bins"],
    },
    // One at a time: the stories measure, and share two cores with what they measure.
    Step {
        title: "packet tables and system stories",
        kind: Kind::Tests,
        arguments: &[
            "test",
            "-p",
            "lb-tests",
            "--no-fail-fast",
            "--",
            "--test-threads=1",
            "--skip",
            "in_a_guest",
        ],
    },
    // Two at a time: nothing is measured, and a guest rarely has work for both cores. They have bounds of their own.
    Step {
        title: "tests on another kernel, in a guest",
        kind: Kind::Tests,
        arguments: &["test", "-p", "lb-tests", "--test", "guest", "--", "--test-threads=2", "in_a_guest"],
    },
    Step { title: "documentation", kind: Kind::Check, arguments: &["doc", "--workspace", "--no-deps"] },
];

/// Runs every step; true when nothing failed.
pub(crate) fn run() -> bool {
    let begun = Instant::now();
    let skips = skip_log();
    let mut tally = Tally::default();
    let mut failed = Vec::new();

    headline(1, "set-up");
    if let Err(error) = setup::run() {
        eprintln!("{error:#}");
        tally.step(false);
        failed.push("set-up");
    }
    for (number, step) in (2..).zip(STEPS) {
        headline(number, step.title);
        let before = tally.failed;
        if let Err(error) = step.run(&skips, &mut tally) {
            eprintln!("{error:#}");
            tally.step(false);
        }
        if tally.failed > before {
            failed.push(step.title);
        }
    }

    let skipped = fs::read_to_string(&skips).unwrap_or_default();
    tally.skipped_themselves(skipped.lines().count());
    // It is in the temporary folder and may stay when it cannot be removed.
    let _ = fs::remove_file(&skips);
    println!("\n{}after {} s", skipped, begun.elapsed().as_secs());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{tally}");
    tally.failed == 0
}

impl Step {
    fn run(&self, skips: &Path, tally: &mut Tally) -> Result<()> {
        let mut command = self.command(skips);
        match self.kind {
            Kind::Check => tally.step(process::run(&mut command, LIMIT)?.success()),
            Kind::Build => {
                if !process::run(&mut command, LIMIT)?.success() {
                    tally.step(false);
                }
            }
            Kind::Tests => {
                let failed_before = tally.failed;
                let status = process::run_reading(&mut command, LIMIT, |line| tally.read(line))?;
                // It failed though no test did: it was not built, or ended early.
                if !status.success() && tally.failed == failed_before {
                    tally.step(false);
                }
            }
        }
        Ok(())
    }

    fn command(&self, skips: &Path) -> Command {
        let mut command = process::cargo();
        command.current_dir(process::root()).args(self.arguments);
        command.env(SKIP_LOG, skips).env("RUST_BACKTRACE", "0").env("RUSTDOCFLAGS", "-D warnings");
        command
    }
}

fn headline(number: usize, title: &str) {
    println!("\n== {number}/{}: {title}", STEPS.len() + 1);
}

fn skip_log() -> PathBuf {
    env::temp_dir().join(format!("xlb-skips-{}", std::process::id()))
}
