//! A controller dies, in each of the ways in which they do.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    Fetch, Hold, HoldOptions, Load, LoadOptions, Server,
    requirements::{self, LAB},
};

use crate::setting::{API, MANY, Setting};

/// Three failed probes at two seconds each, and as much again for a busy machine.
const VERDICT: Duration = Duration::from_secs(15);

#[test]
fn a_dead_process_costs_no_new_connection() -> Result<()> {
    if !requirements::met("a_dead_process_costs_no_new_connection", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(50))?;
    load.wait_for_more(30)?;
    setting.kill_server("c2")?;
    setting.agent.wait_health("c2", "down")?;
    load.wait_for_more(30)?;
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    setting.agent.wait_health("c2", "up")?;
    let before = load.so_far()?.by("c2");
    load.wait_until("connections to c2 again", |report| report.by("c2") > before + 5)?;
    let report = load.stop()?;
    // A refused SYN goes to the next controller; what the process had accepted died with it.
    let refused = report.failures.get("connect refused").copied().unwrap_or(0);
    assert_eq!(refused, 0, "no refusal reaches a client: {report:?}");
    assert!(report.failed() <= 2, "only what was under way at that moment is lost: {report:?}");
    Ok(())
}

#[test]
fn a_silent_host_costs_one_retransmission_and_its_connections_are_reset() -> Result<()> {
    let name = "a_silent_host_costs_one_retransmission_and_its_connections_are_reset";
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let silent = HoldOptions { interval: Duration::ZERO, ..HoldOptions::to(target, MANY) };
    let hold = Hold::start(&setting.lab, &silent)?;
    let on_c3 = hold.backends()?.get("c3").copied().unwrap_or(0);
    assert!(on_c3 > 0, "some of many connections go to c3");
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(30))?;
    load.wait_for_more(20)?;

    // When the host loses power, idle watches on it are told at once and not after 15 minutes,
    setting.lab.link_down("c3")?;
    let broken = hold.wait_broken(on_c3 as usize, VERDICT)?;
    assert!(broken.iter().all(|broken| broken.backend == "c3"), "only those of c3 break: {broken:?}");
    assert!(broken.iter().all(|broken| broken.why == "reset"), "by a reset: {broken:?}");

    // and new connections came through with the first retransmission.
    load.wait_for_more(30)?;
    let report = load.stop()?;
    let timeouts = report.failures.get("connect timeout").copied().unwrap_or(0);
    assert_eq!(timeouts, 0, "every SYN found a living controller: {report:?}");
    assert!(report.connect.max_us < 2_900_000, "at the first retransmission: {report:?}");
    Ok(())
}

#[test]
fn a_controller_that_is_not_ready_keeps_what_it_has() -> Result<()> {
    if !requirements::met("a_controller_that_is_not_ready_keeps_what_it_has", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    assert!(hold.backends()?.contains_key("c1"), "some of many connections go to c1");
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(50))?;

    let direct = std::net::SocketAddr::new(setting.lab.plan().controller(lb_tests::Family::V4, 1), API);
    Fetch::start(&setting.lab, direct, "/set-readyz?status=503")?.finish()?;
    setting.agent.wait_health("c1", "not-ready")?;
    let before = load.wait_for_more(20)?.by("c1");
    let after = load.wait_for_more(60)?.by("c1");
    assert_eq!(after, before, "it gets nothing new");
    assert_eq!(load.stop()?.failed(), 0, "nobody was refused");
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "its connections live on: {report:?}");
    Ok(())
}
