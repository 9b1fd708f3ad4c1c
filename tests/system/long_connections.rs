//! Long-lived connections: those of a dead controller are reset, so that their clients need not wait for TCP; those of
//! the others stay.

use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use lb_tests::{
    Hold, HoldOptions, PATIENCE, Server, moment,
    report::{HoldReport, median},
    requirements::{self, LAB},
    status,
};
use lb_userspace::control::types::Timestamp;

use crate::setting::{API, MANY, Setting};

/// Since when c3 is what it is, by the wall clock.
fn verdict_us(setting: &Setting) -> Result<u64> {
    let status = setting.agent.status()?;
    let since = &status::on_service(&status, "c3", API).context("c3 is in the status")?["since"];
    let since: Timestamp = serde_json::from_value(since.clone())?;
    Ok(moment::us(since.time().max(UNIX_EPOCH)))
}

fn story(name: &str, options: impl Fn(&Setting) -> HoldOptions) -> Result<()> {
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    // Given long-lived connections to every controller, whose client makes anew what breaks,
    let setting = Setting::usual()?;
    let options = HoldOptions { reconnect: true, patience: Some(PATIENCE * 3), ..options(&setting) };
    let hold = Hold::start(&setting.lab, &options)?;
    let on_c3 = hold.backends()?.get("c3").copied().context("some of many connections go to c3")?;

    // when the host of one is silent,
    setting.lab.link_down("c3")?;
    let reconnected = hold.wait_reconnected(on_c3 as usize)?;
    let verdict = verdict_us(&setting)?;
    let after: Vec<u64> = reconnected.iter().map(|one| one.at_us.saturating_sub(verdict)).collect();
    println!(
        "{name}: {on_c3} connections of c3 were reset and made anew, {} µs after the verdict at the median, the last \
         after {} µs",
        median(after.clone()).unwrap_or(0),
        after.iter().max().copied().unwrap_or(0)
    );

    // all of its connections are reset, none waits for TCP to give up, and all stand again with the others.
    let report = hold.stop()?;
    only_resets_of_c3(&report, on_c3);
    Ok(())
}

fn only_resets_of_c3(report: &HoldReport, on_c3: u64) {
    assert_eq!(report.broken.len() as u64, on_c3, "each of c3's broke once: {report:?}");
    let reset = |broken: &lb_tests::report::Broken| broken.backend == "c3" && broken.why == "reset";
    assert!(report.broken.iter().all(reset), "each was reset: {:?}", report.broken);
    assert!(report.reconnected.iter().all(|one| one.to != "c3"), "with the living: {:?}", report.reconnected);
    assert_eq!(report.alive, report.opened, "all stand at the end: {report:?}");
}

#[test]
fn the_connections_of_a_silent_host_are_reset_and_made_anew() -> Result<()> {
    story("the_connections_of_a_silent_host_are_reset_and_made_anew", |setting| {
        HoldOptions::to(setting.lab.service(API), MANY)
    })
}

#[test]
fn idle_connections_of_a_silent_host_are_reset_and_made_anew() -> Result<()> {
    story("idle_connections_of_a_silent_host_are_reset_and_made_anew", |setting| {
        HoldOptions::silent(setting.lab.service(API), MANY)
    })
}

/// How often the controller comes and goes.
const FLAPS: u32 = 5;

#[test]
fn a_controller_that_comes_and_goes_moves_nobody_else() -> Result<()> {
    if !requirements::met("a_controller_that_comes_and_goes_moves_nobody_else", LAB) {
        return Ok(());
    }
    // Given long-lived connections to every controller,
    let mut setting = Setting::usual()?;
    let hold = Hold::start(&setting.lab, &HoldOptions::to(setting.lab.service(API), MANY))?;
    let on_c2 = hold.backends()?.get("c2").copied().context("some of many connections go to c2")?;

    // when one dies and comes back as fast as it can be noticed, again and again,
    for _ in 0..FLAPS {
        setting.kill_server("c2")?;
        setting.agent.wait_health("c2", "down")?;
        setting.servers.push(Server::start(&setting.lab, "c2")?);
        setting.agent.wait_health("c2", "up")?;
    }

    // each connection of the others answers to the end, and from where it did before.
    let report = hold.stop()?;
    let moved = report.broken.iter().filter(|broken| broken.backend != "c2").count();
    println!("{FLAPS} deaths of c2: {moved} of {} connections of the others moved", report.opened - on_c2);
    assert_eq!(moved, 0, "those of the others stay: {report:?}");
    assert_eq!(report.alive, report.opened - on_c2, "and answer to the end: {report:?}");
    Ok(())
}
