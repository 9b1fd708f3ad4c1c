//! A new agent takes over what the former one pinned, or says why it does not.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Context, Result};
use lb_tests::{
    PATIENCE,
    requirements::{self, LAB},
    status,
};
use lb_userspace::kernel::syscall;

use crate::setting::{Setting, has_program, refusal};

/// A figure of the pinned link of `xlb0`, as the kernel tells it of an open descriptor.
fn of_link(setting: &Setting, field: &str) -> Result<u32> {
    let link = syscall::open_pinned(&setting.pins().join("link-xlb0"))?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("no {field} in {text}"))?.trim().parse()?)
}

#[test]
fn the_program_is_replaced_in_its_link() -> Result<()> {
    if !requirements::met("the_program_is_replaced_in_its_link", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, _) = setting.hold(6)?;
    let before = (of_link(&setting, "link_id")?, of_link(&setting, "prog_id")?);
    setting.agent.kill9()?;
    setting.agent.start_again()?;
    let after = (of_link(&setting, "link_id")?, of_link(&setting, "prog_id")?);
    assert_eq!(before.0, after.0, "the link is the same: packets never went past it");
    assert_ne!(before.1, after.1, "the program is the new agent's own");
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");
    Ok(())
}

#[test]
fn another_version_is_refused_until_flows_may_go() -> Result<()> {
    if !requirements::met("another_version_is_refused_until_flows_may_go", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, _) = setting.hold(6)?;
    setting.agent.kill9()?;
    let abi = syscall::open_pinned(&setting.pins().join("abi"))?;
    syscall::update(abi.as_fd(), &0u32.to_ne_bytes(), &4711u32.to_ne_bytes())?;

    let sentence = refusal(&setting.run_to_its_end(&[])?);
    assert!(sentence.contains("tables 4711") && sentence.contains("--discard-flows"), "refused: {sentence}");
    for words in [&["status"][..], &["flows"], &["counters"], &["ready"]] {
        let sentence = refusal(&setting.agent.try_xdplb(words)?);
        assert!(sentence.contains("another version of xdplb (tables 4711"), "{words:?}: {sentence}");
    }
    assert!(has_program(&setting.lab, "xlb0")?, "what the other version does goes on");
    let left: Vec<_> = fs::read_dir(setting.pins())?.flatten().collect();
    assert!(left.len() > 20, "and so does its state: {left:?}");

    let agent = setting.run(&["--discard-flows"])?;
    setting.agent.wait_until_all("up")?;
    drop(hold);
    drop(agent);
    Ok(())
}

#[test]
fn detach_takes_off_another_version_too() -> Result<()> {
    if !requirements::met("detach_takes_off_another_version_too", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.kill9()?;
    let abi = syscall::open_pinned(&setting.pins().join("abi"))?;
    syscall::update(abi.as_fd(), &0u32.to_ne_bytes(), &4711u32.to_ne_bytes())?;
    setting.agent.xdplb(&["detach"])?;
    assert!(!has_program(&setting.lab, "xlb0")? && !setting.pins().exists(), "nothing is left");
    Ok(())
}

#[test]
fn another_table_size_waits_for_the_flows() -> Result<()> {
    if !requirements::met("another_table_size_waits_for_the_flows", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let capacity = |status: &serde_json::Value| status["flow_table"]["capacity"].as_u64();
    let was = capacity(&setting.agent.status()?);
    let (hold, _) = setting.hold(MANY_ENOUGH)?;
    setting.agent.kill9()?;
    fs::write(setting.agent.config_file(), setting.file()? + "\n[limits]\nflow_table = 4096\n")?;
    setting.agent.start_again()?;
    let status = setting.agent.status()?;
    assert_eq!(capacity(&status), was, "a table that holds flows keeps its size: {status:#}");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("FLOWS_V4 keeps its") && warnings.contains("--discard-flows"),
        "said: {warnings}"
    );
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");

    setting.agent.kill9()?;
    let agent = setting.run(&["--discard-flows"])?;
    let status = setting.agent.status()?;
    assert_eq!(capacity(&status), Some(4096), "made anew: {status:#}");
    assert_eq!(status["warnings"].as_array().map(Vec::len), Some(0), "nothing is left to say: {status:#}");
    drop(agent);

    // Empty tables need no permission.
    fs::write(setting.agent.config_file(), setting.file()?.replace("4096", "2048"))?;
    let mut agent = setting.run(&[])?;
    assert_eq!(capacity(&setting.agent.status()?), Some(2048), "made anew by itself");
    agent.stop(PATIENCE)?;
    Ok(())
}

/// Connections of which some are surely in the flow table.
const MANY_ENOUGH: u64 = 12;

#[test]
fn another_xdp_mode_attaches_anew() -> Result<()> {
    if !requirements::met("another_xdp_mode_attaches_anew", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    assert_eq!(status::xdp_mode(&setting.agent.status()?), Some("generic"), "veth is generic by itself");
    setting.agent.stop()?;
    for mode in ["native", "generic", "native", "auto"] {
        let mut agent = setting.run(&["--xdp-mode", mode])?;
        let status = setting.agent.status()?;
        // Left to itself it keeps what it finds, or packets would go past it.
        let expected = if mode == "auto" { "native" } else { mode };
        assert_eq!(status::xdp_mode(&status), Some(expected), "as asked with {mode}: {status:#}");
        assert!(has_program(&setting.lab, "xlb0")?, "the program is there");
        assert_eq!(
            crate::setting::kernels_xdp_mode(&setting.lab, "xlb0")?,
            expected,
            "and so has the kernel"
        );
        agent.stop(PATIENCE)?;
    }
    Ok(())
}
