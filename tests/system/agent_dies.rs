//! The agent may crash, be upgraded or be away for a while: nobody notices.

use anyhow::Result;
use lb_tests::{
    Fetch, Load, LoadOptions,
    requirements::{self, LAB},
};

use crate::setting::{API, Setting};

#[test]
fn a_download_survives_sigkill_and_restart_of_the_agent() -> Result<()> {
    if !requirements::met("a_download_survives_sigkill_and_restart_of_the_agent", LAB) {
        return Ok(());
    }
    // Given a download and a steady load,
    let mut setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let download = Fetch::start(&setting.lab, target, "/stream?seconds=6")?;
    download.started()?;
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(50))?;
    load.wait_for_more(20)?;

    // when the agent is killed, new connections still succeed,
    setting.agent.kill9()?;
    load.wait_for_more(50)?;
    let reply = setting.agent.try_xdplb(&["status", "--json"])?;
    assert_eq!(reply.status.code(), Some(3), "the status is read from the pinned maps: {reply:?}");

    // and when it is back it takes over what it finds.
    setting.agent.start_again()?;
    setting.agent.wait_until_all("up")?;
    load.wait_for_more(50)?;
    let report = load.stop()?;
    let download = download.finish()?;
    println!(
        "SIGKILL and restart: {} connections, {} failed; {} of {} bytes downloaded, longest pause {} ms",
        report.attempts,
        report.failed(),
        download.bytes,
        download.expected,
        download.longest_gap_ms
    );
    assert_eq!(report.failed(), 0, "no connection failed: {report:?}");
    assert!(download.ok, "the download went on: {download:?}");
    Ok(())
}

#[test]
fn a_graceful_stop_leaves_the_programs_in_place() -> Result<()> {
    if !requirements::met("a_graceful_stop_leaves_the_programs_in_place", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(50))?;
    load.wait_for_more(20)?;
    let status = setting.agent.stop()?;
    assert!(status.success(), "a stop is no failure: {status}");
    load.wait_for_more(50)?;
    setting.agent.start_again()?;
    load.wait_for_more(20)?;
    let report = load.stop()?;
    println!("stop and restart: {} connections, {} failed", report.attempts, report.failed());
    assert_eq!(report.failed(), 0, "an upgrade costs no connection: {report:?}");
    Ok(())
}

#[test]
fn detach_takes_everything_off() -> Result<()> {
    if !requirements::met("detach_takes_everything_off", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    setting.agent.kill9()?;
    setting.agent.xdplb(&["detach"])?;
    let links = setting.lab.exec_in("lb", "ip", &["link", "show", "xlb0"])?;
    let links = String::from_utf8(links.stdout)?;
    assert!(!links.contains("xdp"), "no program is left on the interface: {links}");
    Ok(())
}
