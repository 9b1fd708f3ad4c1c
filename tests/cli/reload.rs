//! A bad file is refused with the line and the reason, and the running state stays.

use std::fs;

use anyhow::Result;
use lb_tests::requirements::{self, LAB};

use crate::setting::{Setting, refusal};

/// What `reload` must not change.
fn shown(setting: &Setting) -> Result<(String, serde_json::Value)> {
    Ok((setting.agent.xdplb(&["backend", "list"])?, setting.agent.status()?["services"].clone()))
}

#[test]
fn a_bad_file_is_refused_and_the_running_state_stays() -> Result<()> {
    if !requirements::met("a_bad_file_is_refused_and_the_running_state_stays", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let good = setting.file()?;
    let file = setting.agent.config_file();
    let name = file.display().to_string();
    let before = shown(&setting)?;
    for (bad, place, words) in [
        (format!("colour = 3\n{good}"), ":1:1: ", "unknown key \"colour\""),
        (good.replace("xlb0", "xlb9"), ":1:15: ", "this host has no interface \"xlb9\""),
        (good.replace("10.77.0.12", "10.77.0.2"), ":", "is this host"),
        (good.replace("10.77.0.12", "10.77.0.11"), ":", "is the address of two backends"),
        ("interfaces = [\"xlb0\"]\n".into(), ": ", "no backend is given"),
        ("interfaces = [".into(), ":", "this is not TOML"),
    ] {
        fs::write(&file, &bad)?;
        let sentence = refusal(&setting.agent.try_xdplb(&["reload"])?);
        assert!(sentence.starts_with(&format!("{name}{place}")), "the place comes first: {sentence}");
        assert!(sentence.contains(words), "{words:?} is the reason: {sentence}");
        assert_eq!(shown(&setting)?.0, before.0, "the backends are as they were");
        let health = |value: &serde_json::Value| value[0]["backends"][0]["health"].clone();
        assert_eq!(health(&shown(&setting)?.1), health(&before.1), "their health too");
    }

    // By a signal there is nobody to tell but the log.
    fs::write(&file, format!("flavour = 3\n{good}"))?;
    setting.agent.signal(libc::SIGHUP)?;
    let log = setting.wait_log("unknown key \"flavour\"")?;
    assert!(log.contains("the configuration stays as it was"), "it says what that means: {log}");
    assert_eq!(shown(&setting)?.0, before.0, "the backends are as they were");

    fs::write(&file, good.replace("name = \"c2\"", "name = \"renamed\""))?;
    setting.agent.signal(libc::SIGHUP)?;
    setting.agent.wait_status("the new name", |status| status.to_string().contains("\"renamed\""))?;
    Ok(())
}

#[test]
fn what_takes_a_restart_is_said() -> Result<()> {
    if !requirements::met("what_takes_a_restart_is_said", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    fs::write(setting.agent.config_file(), setting.file()? + "\n[limits]\nflow_table = 2048\n")?;
    let told = setting.agent.xdplb(&["reload"])?;
    assert!(told.contains("restart the agent for other limits"), "said: {told}");
    let status = setting.agent.status()?;
    assert!(status["warnings"].to_string().contains("restart the agent"), "and stays said: {status:#}");
    Ok(())
}

/// An interface that refuses the program leaves everything on the interfaces that there were.
#[test]
fn an_interface_that_refuses_leaves_the_former_configuration() -> Result<()> {
    if !requirements::met("an_interface_that_refuses_leaves_the_former_configuration", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, _) = setting.hold(6)?;
    let good = setting.file()?;
    // The loopback takes no link of XDP in driver mode.
    let bad = good.replace("[\"xlb0\"]", "[\"xlb0\", \"lo\"]").replace("name = \"c3\"", "name = \"d3\"");
    fs::write(setting.agent.config_file(), format!("xdp_mode = \"native\"\n{bad}"))?;
    let sentence = refusal(&setting.agent.try_xdplb(&["reload"])?);
    assert!(sentence.contains("lo"), "it says which: {sentence}");
    let list = setting.agent.xdplb(&["backend", "list"])?;
    assert!(list.contains("c3 ") && !list.contains("d3 "), "the backends are as they were: {list}");
    fs::write(setting.agent.config_file(), &good)?;
    setting.agent.xdplb(&["reload"])?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");
    Ok(())
}
