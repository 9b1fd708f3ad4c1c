//! Long-lived connections: those of a dead controller are reset, so that their clients need not wait for TCP; those of
//! the others stay.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lb_tests::{
    ASKING, Hold, HoldOptions, PATIENCE, Server, UnderLoad, WATCHING, moment,
    report::{Failed, HoldReport, median},
    requirements::{self, LAB},
};

use crate::setting::{API, MANY, Setting, since_us};

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
    let verdict = since_us(&setting.agent.status()?, "c3")?;
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
    if !requirements::met("the_connections_of_a_silent_host_are_reset_and_made_anew", LAB) {
        return Ok(());
    }
    // Given hundreds of connections, a third of them watches, and hundreds more each second,
    let setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;
    let on_c3 = clients.on("c3")?;

    // when the host of one controller is silent,
    setting.lab.link_down("c3")?;
    let status = setting.agent.wait_health("c3", "down")?;
    let verdict = since_us(&status, "c3")?;
    clients.wait_reconnected("c3")?;
    let moved = clients.moved(&setting, "c3")?;
    let seen = clients.stop()?;
    println!(
        "a silent host under load: {}; {moved} of the others moved",
        seen.of_long_ones(verdict, "the verdict")
    );

    // all of its connections are reset, none waits for TCP to give up, and all stand again with the others.
    assert_eq!(seen.asking.broken.len() + seen.watching.broken.len(), usize::try_from(on_c3)?, "{seen:?}");
    assert!(seen.broken().all(|one| (&*one.backend, &*one.why) == ("c3", "reset")), "by a RST: {seen:?}");
    assert!(seen.reconnected().all(|one| one.to != "c3"), "with the living: {seen:?}");
    assert_eq!(seen.tries_failed_since(verdict), 0, "each is made anew at the first try: {seen:?}");
    assert_eq!(moved, 0, "those of the others stay");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all stand at the end: {seen:?}");
    Ok(())
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

/// How often the controller flaps under load, and for how long it is away and there each time: a second in all.
const SECONDS: u32 = 10;
const HALF: Duration = Duration::from_millis(500);

#[test]
fn a_controller_that_flaps_every_second_moves_nobody_else() -> Result<()> {
    if !requirements::met("a_controller_that_flaps_every_second_moves_nobody_else", LAB) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let mut setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;

    // when one controller dies and comes back every second, whatever anybody makes of it,
    let mut deaths = Vec::new();
    let mut next = Instant::now();
    let mut pause = || {
        next += HALF;
        // The clock is the story: nothing is waited for.
        thread::sleep(next.saturating_duration_since(Instant::now()));
    };
    for _ in 0..SECONDS {
        let before = moment::now_us();
        setting.kill_server("c2")?;
        deaths.push(before..=moment::now_us());
        pause();
        setting.servers.push(Server::start(&setting.lab, "c2")?);
        pause();
    }

    // no connection fails that was not in flight at one of its deaths, and none of the others moves.
    let moved = clients.moved(&setting, "c2")?;
    let seen = clients.stop()?;
    let in_flight = |one: &Failed| {
        deaths.iter().any(|death| one.begun_us <= *death.end() && one.ended_us >= *death.start())
    };
    let failed = seen.load.failed_each.iter().filter(|one| !in_flight(one)).count();
    println!(
        "{SECONDS} deaths of c2, one a second: {failed} of {} new connections failed, besides {} in flight, {} connects \
         over 1 s; {moved} of the others' long-lived connections moved, and {} broke",
        seen.load.attempts,
        seen.load.failed() as usize - failed,
        seen.load.connects_over_1s,
        seen.strangers_broken("c2")
    );
    assert_eq!(failed, 0, "only what was in flight fails: {:?}", seen.load);
    assert_eq!((moved, seen.strangers_broken("c2")), (0, 0), "those of the others stay: {seen:?}");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all stand at the end: {seen:?}");
    Ok(())
}
