//! SNAT ports: what `check` says of them, and the warning before they are used up.

use std::net::{TcpStream, ToSocketAddrs as _};

use anyhow::Result;
use lb_tests::{
    AgentOptions, Lab,
    requirements::{self, LAB},
};

use crate::setting::Setting;

/// The fewest that there may be, all of them kept by closed connections until the test is over.
const FEW_PORTS: &str = "snat_ports = \"20000-24095\"\n";
const LONG: &str = "[timeouts]\nclosed = \"10m\"\ntime_wait = \"10m\"\n";

#[test]
fn a_backend_whose_snat_ports_run_out_is_told_in_time() -> Result<()> {
    if !requirements::met("a_backend_whose_snat_ports_run_out_is_told_in_time", LAB) {
        return Ok(());
    }
    let options = AgentOptions { top: FEW_PORTS.into(), tables: LONG.into(), ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder().controllers(1), options)?;
    let warnings = |status: &serde_json::Value| status["warnings"].to_string();
    let first = warnings(&setting.agent.status()?);
    assert!(first.contains("snat_ports 20000-24095 are 4096 ports"), "a narrow range is told: {first}");
    assert!(!first.contains("SNAT ports are in use"), "none are in use: {first}");

    // 82 in a hundred of 4,096.
    let target = setting.service().to_socket_addrs()?.collect::<Vec<_>>();
    setting.lab.namespace("client")?.enter(|| -> std::io::Result<()> {
        for _ in 0..3360 {
            // A few find no port among their candidates: that is what the warning is about.
            drop(TcpStream::connect(&target[..]));
        }
        Ok(())
    })??;
    setting.agent.wait_status("a warning about SNAT ports", |status| {
        let warnings = warnings(status);
        warnings.contains("port 6443 of c1 from 10.77.0.10: ")
            && warnings.contains("of 4096 SNAT ports are in use")
    })?;
    let text = setting.agent.xdplb(&["status"])?;
    assert!(text.contains("\nwarning: port 6443 of c1 from 10.77.0.10: "), "people see it too: {text}");
    setting.wait_log("of 4096 SNAT ports are in use")?;

    // Who is told what to do does it: a wider range takes effect at once.
    let wider = setting.file()?.replace("20000-24095", "10000-29999");
    std::fs::write(setting.agent.config_file(), wider)?;
    setting.agent.xdplb(&["reload"])?;
    setting.agent.wait_status("no warning", |status| status["warnings"] == serde_json::json!([]))?;
    setting.wait_log("there are SNAT ports enough again")?;
    Ok(())
}

#[test]
fn check_says_what_the_ports_allow() -> Result<()> {
    if !requirements::met("check_says_what_the_ports_allow", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let file = setting.agent.config_file().display().to_string();
    let told = setting.agent.xdplb(&["check", &file])?;
    let line = "# 20000 ports: to one port of one backend 20000 connections at once, and 333 new ones a second where the \
                backend closes first, 2000 where the client does";
    assert!(told.lines().any(|found| found == line), "beside the range: {told}");
    Ok(())
}
