//! `log_drops`: what is dropped stands in the agent's log, where somebody asked for it.

use std::fs;

use anyhow::Result;
use lb_tests::{
    Agent, PATIENCE,
    requirements::{self, LAB},
};

use crate::setting::{API, Setting};

/// An address of the segment that nobody has: packets to it are dropped.
const NOBODY: &str = "c9=10.77.0.99";

/// A client's try to connect, which is not answered.
fn knock(setting: &Setting) -> Result<()> {
    let to = format!("exec 3<>/dev/tcp/10.77.0.10/{API}");
    let mut command = setting.lab.namespace("client")?.command("timeout")?;
    let tried = command.args(["0.2", "bash", "-c", &to]).output()?;
    assert!(!tried.status.success(), "nobody is there: {tried:?}");
    Ok(())
}

fn dropped(agent: &Agent) -> Result<u64> {
    Ok(agent.json(&["counters"])?["drop_no_next_hop"].as_u64().unwrap_or_default())
}

#[test]
fn a_dropped_packet_stands_in_the_log_and_nothing_stays_behind() -> Result<()> {
    if !requirements::met("a_dropped_packet_stands_in_the_log_and_nothing_stays_behind", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.stop()?;
    let mut agent = setting.run(&["--log-drops", "--backend", NOBODY])?;
    knock(&setting)?;
    let log = setting.wait_log("dropped (drop_no_next_hop): 10.77.0.100:")?;
    assert!(log.contains(&format!(" to 10.77.0.10:{API}\n")), "with source and destination: {log}");
    assert!(!setting.pins().join("AYA_LOGS").exists(), "the lines' ring goes with the program");
    setting.agent.xdplb(&["detach"])?;
    assert!(!setting.pins().exists(), "nothing is left");
    assert!(agent.wait(PATIENCE)?.success(), "it ended well");

    // Nobody asked for it.
    let mut agent = setting.run(&["--backend", NOBODY])?;
    let lines = fs::read_to_string(setting.lab.directory().join("agent.log"))?.matches("dropped (").count();
    knock(&setting)?;
    assert!(dropped(&setting.agent)? > 0, "it is counted all the same");
    agent.stop(PATIENCE)?;
    let log = fs::read_to_string(setting.lab.directory().join("agent.log"))?;
    assert_eq!(log.matches("dropped (").count(), lines, "no line more: {log}");
    Ok(())
}

#[test]
fn reload_says_that_it_takes_a_restart() -> Result<()> {
    if !requirements::met("reload_says_that_it_takes_a_restart", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    fs::write(setting.agent.config_file(), format!("log_drops = true\n{}", setting.file()?))?;
    let told = setting.agent.xdplb(&["reload"])?;
    assert!(told.contains("log_drops takes effect when the agent is started again"), "said: {told}");
    Ok(())
}
