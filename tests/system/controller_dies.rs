//! A controller dies, in each of the ways in which they do. It costs what was under way with it, and new
//! connections only until its probe has noticed: three failures, the last two soon after the first.

use anyhow::Result;
use lb_tests::{
    AgentOptions, Families, Hold, HoldOptions, Lab, Load, LoadOptions, Server,
    report::{HoldReport, LoadReport},
    requirements::{self, LAB},
    status,
};

use crate::setting::{API, MANY, Setting};

/// Every failure began before the status said so; connections from `noticed` on began after.
fn none_failed_after(report: &LoadReport, noticed: u64, story: &str) {
    let after = report.failed_from(noticed);
    println!(
        "{story}: {} of {noticed} connections failed before the probe noticed, {after} of {} after",
        report.failed_numbers.len() - after,
        report.begun - noticed
    );
    assert_eq!(after, 0, "no connection fails that begins after the probe noticed: {report:?}");
}

/// Whatever became of the victim's connections, those of the others answered to the end.
fn only_those_of(victim: &str, report: &HoldReport) {
    assert!(report.broken.iter().all(|broken| broken.backend == victim), "only {victim}'s break: {report:?}");
    assert_eq!(report.alive + report.broken.len() as u64, report.opened, "the others live on: {report:?}");
}

#[test]
fn a_dead_process_costs_connections_only_until_its_probe_noticed() -> Result<()> {
    let name = "a_dead_process_costs_connections_only_until_its_probe_noticed";
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    // Given long-lived connections to every controller and a steady load,
    let mut setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(50))?;
    load.wait_for_more(30)?;

    // when the process of one dies, its share of the new connections fails until the probe has noticed,
    setting.kill_server("c2")?;
    setting.agent.wait_health("c2", "down")?;
    let noticed = load.by_now()?;
    load.wait_for_more(100)?;

    // and when it is back it gets connections again.
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    setting.agent.wait_health("c2", "up")?;
    load.wait_until("connections to c2 again", |report| report.by("c2") > noticed.by("c2") + 5)?;
    none_failed_after(&load.stop()?, noticed.begun, "dead process");
    let report = hold.stop()?;
    assert!(!report.broken.is_empty(), "those of c2 broke: {report:?}");
    only_those_of("c2", &report);
    Ok(())
}

#[test]
fn a_silent_host_gets_nothing_after_its_probe_noticed() -> Result<()> {
    if !requirements::met("a_silent_host_gets_nothing_after_its_probe_noticed", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    assert!(hold.backends()?.contains_key("c3"), "some of many connections go to c3");
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(30).argument("--timeout-ms", "5000"))?;
    load.wait_for_more(20)?;

    // When the cable is pulled, what begins after the probe has noticed finds a living controller,
    setting.lab.link_down("c3")?;
    setting.agent.wait_health("c3", "down")?;
    let noticed = load.by_now()?;
    let later = load.wait_for_more(100)?;
    assert_eq!(later.by("c3"), noticed.by("c3"), "nobody gets an answer from a silent host");

    // and when it is put back, the host serves again.
    setting.lab.link_up("c3")?;
    setting.agent.wait_health("c3", "up")?;
    load.wait_until("connections to c3 again", |report| report.by("c3") > later.by("c3") + 5)?;
    none_failed_after(&load.stop()?, noticed.begun, "silent host");
    let report = hold.stop()?;
    println!("silent host: {} of {} long connections answered to the end", report.alive, report.opened);
    only_those_of("c3", &report);
    Ok(())
}

#[test]
fn a_controller_that_loses_one_family_serves_by_the_other() -> Result<()> {
    if !requirements::met("a_controller_that_loses_one_family_serves_by_the_other", LAB) {
        return Ok(());
    }
    // Given controllers and clients with both families,
    let options = AgentOptions { families: Families::Both, ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder(), options)?;
    let (v4, v6) = (setting.lab.service(API), setting.lab.service_v6(API));
    let by_v4 = Load::start(&setting.lab, &LoadOptions::to(v4).rate(30))?;
    let by_v6 = Load::start(&setting.lab, &LoadOptions::to(v6).rate(30).argument("--timeout-ms", "5000"))?;
    by_v4.wait_for_more(20)?;
    by_v6.wait_for_more(20)?;

    // when one loses its IPv6 address, it is down on the IPv6 VIP alone,
    setting.lab.exec_in("c2", "ip", &["addr", "del", "fd77::c/64", "dev", "xlb0"])?;
    let status = setting
        .agent
        .wait_status("c2 down by IPv6", |status| status::health_on(status, "c2", v6) == Some("down"))?;
    assert_eq!(status::health_on(&status, "c2", v4), Some("up"), "it answers by IPv4: {status:#}");

    // so clients by IPv6 find another, and those by IPv4 find it as before.
    let noticed = by_v6.by_now()?;
    by_v6.wait_for_more(60)?;
    let before = by_v4.by_now()?.by("c2");
    by_v4.wait_until("connections to c2 by IPv4", |report| report.by("c2") > before + 5)?;
    none_failed_after(&by_v6.stop()?, noticed.begun, "one family lost");
    assert_eq!(by_v4.stop()?.failed(), 0, "IPv4 noticed nothing");
    Ok(())
}

#[test]
fn when_all_are_dead_the_status_says_so_and_the_first_to_return_serves() -> Result<()> {
    if !requirements::met("when_all_are_dead_the_status_says_so_and_the_first_to_return_serves", LAB) {
        return Ok(());
    }
    // When every process dies, the last good ones keep the traffic,
    let mut setting = Setting::usual()?;
    for controller in setting.lab.controllers() {
        setting.kill_server(&controller)?;
    }
    let status = setting.agent.wait_until_all("down")?;
    let open: Vec<&str> =
        status["fail_open"].as_array().into_iter().flatten().filter_map(|s| s.as_str()).collect();
    assert!(open.contains(&"kubernetes-api"), "the status says that it fails open: {open:?}");

    // and from the moment when the first is back and its probe has noticed, nobody is refused any more.
    setting.servers.push(Server::start(&setting.lab, "c1")?);
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(30))?;
    load.wait_until("connections to c1", |report| report.by("c1") > 5)?;
    setting.agent.wait_health("c1", "up")?;
    let up = load.by_now()?;
    load.wait_for_more(60)?;
    let report = load.stop()?;
    none_failed_after(&report, up.begun, "all dead, then c1 back");
    Ok(())
}
