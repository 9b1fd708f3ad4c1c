//! A controller's process dies, and its host answers each SYN with a RST: nobody who connects after that notices.

use anyhow::Result;
use lb_tests::{
    ASKING, AgentOptions, Families, Family, Lab, LabBuilder, Load, LoadOptions, RATE, Server, Topology,
    UnderLoad, WATCHING, moment,
    requirements::{self, LAB, Need},
};

use crate::setting::{API, Setting, since_us};

const NEEDS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool")];

fn story(name: &str, lab: LabBuilder, options: AgentOptions) -> Result<()> {
    if !requirements::met(name, NEEDS) {
        return Ok(());
    }
    let family = if options.families == Families::V6 { Family::V6 } else { Family::V4 };
    // Given a steady load,
    let mut setting = Setting::new(lab, options)?;
    let target = setting.lab.plan().service(family, API);
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(50))?;
    load.wait_for_more(30)?;

    // when the process of one dies,
    setting.kill_server("c2")?;
    let killed = moment::now_us();
    setting.agent.wait_health("c2", "down")?;
    let later = load.wait_for_more(100)?;

    // and comes back,
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    setting.agent.wait_health("c2", "up")?;
    load.wait_until("connections to c2 again", |report| report.by("c2") > later.by("c2") + 5)?;

    // no connection fails that began after its death, and no client had to ask twice.
    let report = load.stop()?;
    println!(
        "{name}: {} failed of {}, besides {} in flight when c2 was killed; {} sent on to another, {} asked twice, \
         connect p50 {} µs, p99 {} µs",
        report.failed_since(killed),
        report.attempts,
        report.failed() as usize - report.failed_since(killed),
        setting.counter("redispatched")?,
        report.with_syns_again(1),
        report.connect.p50_us,
        report.connect.p99_us
    );
    let seen = setting.agent.json(&["counters"])?;
    assert_eq!(report.failed_since(killed), 0, "no connection fails that began after the death: {report:?}");
    assert_eq!(report.with_syns_again(1), 0, "no client sent its SYN again: {report:?} {seen}");
    assert_eq!(setting.counter("syn_retransmitted")?, 0, "nor did the balancer see one");
    assert_eq!(setting.counter("refusal_passed")?, 0, "no refusal reached a client");
    Ok(())
}

#[test]
fn a_dead_process_costs_only_what_was_in_flight() -> Result<()> {
    if !requirements::met("a_dead_process_costs_only_what_was_in_flight", NEEDS) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let mut setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;

    // when the process of one dies, those that it had are made anew with the others,
    let about_to_die = moment::now_us();
    setting.kill_server("c2")?;
    let killed = moment::now_us();
    let verdict = since_us(&setting.agent.wait_health("c2", "down")?, "c2")?;
    clients.wait_reconnected("c2")?;
    clients.load.wait_for_more(RATE)?;
    let moved = clients.moved(&setting, "c2")?;
    let seen = clients.stop()?;
    println!(
        "c2 killed: {}; {} sent on to another, {} asked twice; {}; known to be down {} ms after; {}; {moved} of the others \
         moved",
        seen.of_new_ones(killed),
        setting.counter("redispatched")?,
        seen.load.with_syns_again(1),
        seen.of_affected(&(about_to_die..verdict)),
        verdict.saturating_sub(killed) / 1000,
        seen.of_long_ones(killed, "it")
    );

    // no connection fails that began after its death, and no client had to ask twice.
    assert_eq!(seen.load.failed_since(killed), 0, "no connection fails that began after: {:?}", seen.load);
    assert_eq!(seen.load.with_syns_again(1), 0, "no client sent its SYN again: {:?}", seen.load);
    assert_eq!(setting.counter("syn_retransmitted")?, 0, "nor did the balancer see one");
    assert_eq!(setting.counter("refusal_passed")?, 0, "no refusal reached a client");
    assert_eq!(
        seen.tries_failed_since(killed),
        0,
        "who broke after it is made anew at the first try: {:?} {:?}",
        seen.asking.failures,
        seen.watching.failures
    );
    assert_eq!((moved, seen.strangers_broken("c2")), (0, 0), "those of the others stay: {seen:?}");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all stand at the end: {seen:?}");
    Ok(())
}

/// Linux leaves the checksum of a refusal by IPv6 to the device.
#[test]
fn a_dead_process_costs_only_what_was_in_flight_by_ipv6() -> Result<()> {
    let options = AgentOptions { families: Families::V6, ..AgentOptions::default() };
    story("a_dead_process_costs_only_what_was_in_flight_by_ipv6", Lab::builder(), options)
}

#[test]
fn a_dead_process_costs_only_what_was_in_flight_on_two_arms() -> Result<()> {
    let lab = Lab::builder().topology(Topology::TwoArmed);
    story("a_dead_process_costs_only_what_was_in_flight_on_two_arms", lab, AgentOptions::default())
}

#[test]
fn a_dead_process_costs_only_what_was_in_flight_in_native_mode() -> Result<()> {
    let options = AgentOptions { xdp_mode: Some("native"), ..AgentOptions::default() };
    story("a_dead_process_costs_only_what_was_in_flight_in_native_mode", Lab::builder().native(), options)
}

/// Without an agent nobody takes the dead controller out, so that every connection begins there and is sent on.
#[test]
fn without_an_agent_the_refused_are_sent_on_at_once() -> Result<()> {
    if !requirements::met("without_an_agent_the_refused_are_sent_on_at_once", LAB) {
        return Ok(());
    }
    // Given a controller that gets nearly all connections,
    let mut setting = Setting::usual()?;
    let options = LoadOptions::to(setting.lab.service(API)).rate(50).count(200);
    setting.agent.xdplb(&["backend", "weight", "c2", "255"])?;
    let before = Load::start(&setting.lab, &options)?.finish()?;
    assert!(before.by("c2") > 180, "nearly all go to c2: {before:?}");

    // when the agent is killed, and then that controller,
    setting.agent.kill9()?;
    setting.kill_server("c2")?;
    let after = Load::start(&setting.lab, &options)?.finish()?;
    let sent_on = setting.counter("redispatched")?;
    println!(
        "no agent, then c2 killed: {} of {} failed, {sent_on} were sent on, {} asked twice; connect p50 {} µs, before \
         {} µs",
        after.failed(),
        after.attempts,
        after.with_syns_again(1),
        after.connect.p50_us,
        before.connect.p50_us
    );

    // the others take all of them, and no client has to ask twice.
    assert_eq!(after.failed(), 0, "no connection fails: {after:?}");
    assert!(sent_on > 180, "nearly all were sent on, not {sent_on}");
    assert_eq!(after.with_syns_again(1), 0, "no client sent its SYN again: {after:?}");
    assert_eq!(setting.counter("syn_retransmitted")?, 0, "nor did the balancer see one");

    // A new agent finds it down, and nothing begins there any more.
    setting.agent.start_again()?;
    setting.agent.wait_health("c2", "down")?;
    let sent_on = setting.counter("redispatched")?;
    assert_eq!(Load::start(&setting.lab, &options)?.finish()?.failed(), 0, "no connection fails");
    assert_eq!(setting.counter("redispatched")?, sent_on, "nothing begins with a dead controller");
    Ok(())
}
