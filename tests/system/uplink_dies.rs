//! The balancer itself loses its uplink: it sees every controller fail, and shall take none at this word.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_tests::{
    ASKING, Hold, HoldOptions, Lab, Load, LoadOptions, PATIENCE, RATE, UnderLoad, WATCHING, moment,
    requirements::{self, LAB},
};

use crate::setting::{API, Setting};

/// Long connections in all: most of them silent, as watches are.
const SILENT: u64 = 400;
const SPEAKING: u64 = 100;

fn story(name: &str, lose: impl Fn(&Lab) -> Result<()>, find: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    // Given hundreds of long-lived connections,
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let patience = Some(PATIENCE * 3);
    let silent = Hold::start(&setting.lab, &HoldOptions::silent(target, SILENT))?;
    let speaking = HoldOptions { patience, ..HoldOptions::to(target, SPEAKING) };
    let speaking = Hold::start(&setting.lab, &speaking)?;

    // when the balancer hears nobody for so long that it holds all controllers for dead,
    lose(&setting.lab)?;
    setting.agent.wait_until_all("down")?;

    // and then hears them again,
    find(&setting.lab)?;
    setting.agent.wait_until_all("up")?;

    // every connection lives on, and new ones are made.
    let load = Load::start(&setting.lab, &LoadOptions::to(target).count(50))?.finish()?;
    let reports = [silent.stop()?, speaking.stop()?];
    let sum = |of: fn(&lb_tests::report::HoldReport) -> u64| reports.iter().map(of).sum::<u64>();
    println!("{name}: {} of {} long connections answered to the end", sum(|r| r.alive), sum(|r| r.opened));
    for report in &reports {
        assert!(report.broken.is_empty(), "none broke: {:?}", report.broken);
    }
    assert_eq!(sum(|report| report.alive), SILENT + SPEAKING, "all live on");
    assert_eq!(load.failed(), 0, "and new ones are made: {load:?}");
    assert_eq!(setting.counter("reset_by_operator")?, 0, "nothing was reset");
    Ok(())
}

/// So long the uplink is away under load.
const AWAY: Duration = Duration::from_secs(8);

#[test]
fn a_lost_carrier_breaks_no_connection() -> Result<()> {
    if !requirements::met("a_lost_carrier_breaks_no_connection", LAB) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;

    // when the balancer's cable is pulled, and is put back when it has held all controllers for dead for a while,
    let lost = Instant::now();
    setting.lab.link_down("lb")?;
    setting.agent.wait_until_all("down")?;
    // The clock is the story.
    thread::sleep(AWAY.saturating_sub(lost.elapsed()));
    setting.lab.link_up("lb")?;
    let found = moment::now_us();
    setting.agent.wait_until_all("up")?;
    clients.load.wait_for_more(RATE)?;

    // every long-lived connection lives on, and new ones are made.
    let moved = clients.moved(&setting, "nobody")?;
    let resets = setting.counter("reset_by_operator")?;
    let seen = clients.stop()?;
    println!(
        "uplink away for {AWAY:?}: {}; {} of {} long-lived connections answered to the end, {moved} moved",
        seen.of_new_ones(found),
        seen.alive(),
        ASKING + WATCHING
    );
    assert_eq!(seen.broken().count(), 0, "none broke: {:?}", seen.broken().collect::<Vec<_>>());
    assert_eq!((seen.alive(), moved), (ASKING + WATCHING, 0), "all live on where they were");
    assert_eq!(seen.load.failed_since(found), 0, "and new ones are made: {:?}", seen.load);
    assert_eq!(resets, 0, "nothing was reset");
    Ok(())
}

#[test]
fn a_switch_that_forwards_nothing_breaks_no_connection() -> Result<()> {
    story("a_switch_that_forwards_nothing_breaks_no_connection", |lab| lab.mute("lb"), |lab| lab.unmute("lb"))
}
