//! Each test boots a guest (`lb_tests::guest`) and runs tests in it.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lb_tests::{
    guest::{self, Outcome},
    requirements::{self, Need},
};
use serde_json::Value;

/// A guest emulates every instruction, and shares two cores with others: a minute for the longest here when it is alone.
const LIMIT: Duration = Duration::from_secs(5 * 60);
const NEEDS: &[Need] = &[Need::Root, Need::Guest, Need::Program("strip"), Need::Program("ldd")];

/// The real program on one packet after the other: the verifier takes it, and it does the same as here.
#[test]
fn packets_on_another_kernel() -> Result<()> {
    let test = "packets_on_another_kernel";
    if !requirements::met(test, NEEDS) {
        return Ok(());
    }
    // Properties try so many cases that they would take longer than all others.
    let outcome = guest::run(&built("packets")?, &["--test-threads=2", "--skip", "property"], LIMIT)?;
    tell(test, &outcome);
    Ok(())
}

/// The agent, its command line and connections through it: stories that hold no clock against it.
#[test]
fn stories_on_another_kernel() -> Result<()> {
    let test = "stories_on_another_kernel";
    if !requirements::met(test, NEEDS) {
        return Ok(());
    }
    let stories = [
        "every_way_in::a_controller_reaches_itself_through_the_vip",
        "konnectivity::three_dials_reach_three_controllers_and_two_when_one_was_removed",
    ];
    let arguments = [&["--test-threads=1", "--exact"], stories.as_slice()].concat();
    let outcome = guest::run(&built("system")?, &arguments, LIMIT)?;
    assert_eq!(outcome.passed, stories.len(), "every story is found by its name: {:?}", outcome.lines);
    tell(test, &outcome);
    Ok(())
}

/// Bonds and VLANs, which the kernel here may lack.
#[test]
fn devices_on_another_kernel() -> Result<()> {
    let test = "devices_on_another_kernel";
    if !requirements::met(test, NEEDS) {
        return Ok(());
    }
    let own = env::current_exe().context("cannot tell where this program is")?;
    let outcome = guest::run(&own, &["--test-threads=1", "--nocapture", "devices::"], LIMIT)?;
    tell(test, &outcome);
    Ok(())
}

fn tell(test: &str, outcome: &Outcome) {
    assert!(outcome.passed > 0, "something ran in {test}: {:?}", outcome.lines);
    let Outcome { kernel, passed, took, .. } = outcome;
    println!("{test}: Linux {kernel}, {passed} passed in {} s", took.as_secs());
}

/// Another test binary of this package, built as it is now. Only cargo knows its name.
fn built(test: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut build = Command::new(cargo);
    build.args(["test", "--package", "lb-tests", "--test", test, "--no-run", "--message-format", "json"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    // What cargo tells a test about its package it would take for a change of other packages' surroundings, and build them.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    let output = build.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo does not build {test}; what it said is above");
    let messages = String::from_utf8(output.stdout)?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = artifacts
        .filter(|artifact| artifact["target"]["name"] == test)
        .filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
    executables.next().with_context(|| format!("cargo does not tell where {test} is"))
}
