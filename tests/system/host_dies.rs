//! A controller's host dies and is silent: who connects after that sends one SYN again, and is answered by another.

use std::{cell::RefCell, collections::BTreeSet};

use anyhow::{Context, Result};
use lb_tests::{
    ASKING, AgentOptions, Families, Family, Hold, HoldOptions, Lab, LabBuilder, Load, LoadOptions, PATIENCE,
    RATE, Topology, UnderLoad, WATCHING, moment,
    report::LoadReport,
    requirements::{self, LAB, Need},
    status,
};

use crate::setting::{API, MANY, Setting, since_us};

const NEEDS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool")];

/// None failed that began after this moment, and none had to ask more than once again.
fn only_one_syn_again(name: &str, report: &LoadReport, gone_us: u64) {
    println!(
        "{name}: {} failed of {}, besides {} in flight when the host went; {} sent their SYN once more and connected \
         after {} µs at the median, {} more often; all: p50 {} µs",
        report.failed_since(gone_us),
        report.attempts,
        report.failed() as usize - report.failed_since(gone_us),
        report.with_syns_again(1) - report.with_syns_again(2),
        report.connect_again.p50_us,
        report.with_syns_again(2),
        report.connect.p50_us
    );
    assert_eq!(report.failed_since(gone_us), 0, "no connection fails that began after: {report:?}");
    assert_eq!(report.with_syns_again(2), 0, "the first SYN that is sent again arrives: {report:?}");
}

fn story(name: &str, lab: LabBuilder, options: AgentOptions) -> Result<()> {
    if !requirements::met(name, NEEDS) {
        return Ok(());
    }
    let family = if options.families == Families::V6 { Family::V6 } else { Family::V4 };
    let setting = Setting::new(lab, options)?;
    let target = setting.lab.plan().service(family, API);
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(30))?;
    load.wait_for_more(20)?;

    // When the cable is pulled,
    setting.lab.link_down("c3")?;
    let gone = moment::now_us();
    setting.agent.wait_health("c3", "down")?;
    let noticed = load.by_now()?;
    let later = load.wait_for_more(100)?;
    assert_eq!(later.by("c3"), noticed.by("c3"), "nobody gets an answer from a silent host");

    // and when it is put back, the host serves again.
    setting.lab.link_up("c3")?;
    setting.agent.wait_health("c3", "up")?;
    load.wait_until("connections to c3 again", |report| report.by("c3") > later.by("c3") + 5)?;
    only_one_syn_again(name, &load.stop()?, gone);
    Ok(())
}

/// Waits until a backend is down; tells since when, and how many failed probes the status has shown until then.
fn probes_until_down(setting: &Setting, backend: &str) -> Result<(u64, usize)> {
    let failed = RefCell::new(BTreeSet::new());
    let status = setting.agent.wait_status("a verdict", |status| {
        let probe = status::on_service(status, backend, API).map(|entry| &entry["last_probe"]);
        let probe =
            probe.filter(|probe| !probe["outcome"].as_str().is_some_and(|word| word.starts_with("200")));
        failed.borrow_mut().extend(probe.map(|probe| probe["at"].to_string()));
        status::health(status, backend, API) == Some("down")
    })?;
    Ok((since_us(&status, backend)?, failed.into_inner().len()))
}

#[test]
fn a_silent_host_costs_one_syn_more() -> Result<()> {
    if !requirements::met("a_silent_host_costs_one_syn_more", NEEDS) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;

    // when the cable of one controller is pulled,
    setting.lab.link_down("c3")?;
    let gone = moment::now_us();
    let (verdict, failed_probes) = probes_until_down(&setting, "c3")?;
    clients.wait_reconnected("c3")?;
    clients.load.wait_for_more(2 * RATE)?;
    let moved = clients.moved(&setting, "c3")?;
    let seen = clients.stop()?;
    println!(
        "c3 silent: {}; known to be down {} ms after, by {failed_probes} failed probes and what the packets showed; {}; \
         {moved} of the others moved",
        seen.of_new_ones(gone),
        verdict.saturating_sub(gone) / 1000,
        seen.of_long_ones(verdict, "the verdict")
    );

    // who connects then sends one SYN again, and the packets make the verdict that else would want three probes.
    only_one_syn_again("c3 silent", &seen.load, gone);
    assert!(failed_probes < 3, "what the packets showed counted, not only {failed_probes} probes");
    assert_eq!((moved, seen.strangers_broken("c3")), (0, 0), "those of the others stay: {seen:?}");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all stand at the end: {seen:?}");
    Ok(())
}

#[test]
fn a_silent_host_costs_one_syn_more_by_ipv6() -> Result<()> {
    let options = AgentOptions { families: Families::V6, ..AgentOptions::default() };
    story("a_silent_host_costs_one_syn_more_by_ipv6", Lab::builder(), options)
}

#[test]
fn a_silent_host_costs_one_syn_more_on_two_arms() -> Result<()> {
    let lab = Lab::builder().topology(Topology::TwoArmed);
    story("a_silent_host_costs_one_syn_more_on_two_arms", lab, AgentOptions::default())
}

#[test]
fn a_silent_host_costs_one_syn_more_in_native_mode() -> Result<()> {
    let options = AgentOptions { xdp_mode: Some("native"), ..AgentOptions::default() };
    story("a_silent_host_costs_one_syn_more_in_native_mode", Lab::builder().native(), options)
}

/// The prober alone would want three failures, 40 seconds apart. It may be woken a quarter of that after its last look:
/// the packets wake it, and one failure is enough.
#[test]
fn what_the_packets_show_and_one_probe_make_the_verdict() -> Result<()> {
    if !requirements::met("what_the_packets_show_and_one_probe_make_the_verdict", LAB) {
        return Ok(());
    }
    let tables = "[probe]\ninterval = \"40s\"\nfast_interval = \"40s\"\nfall = 3\n".into();
    let setting = Setting::new(Lab::builder(), AgentOptions { tables, ..AgentOptions::default() })?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    let on_c3 = hold.backends()?.get("c3").copied().context("some of many connections go to c3")?;
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(30))?;
    load.wait_for_more(20)?;

    setting.lab.link_down("c3")?;
    let gone = moment::now_us();
    setting.agent.wait_health("c3", "down")?;
    let broken = hold.wait_broken(on_c3 as usize, PATIENCE)?;
    assert!(broken.iter().all(|broken| broken.backend == "c3"), "only those of c3: {broken:?}");
    only_one_syn_again("evidence and one probe", &load.stop()?, gone);
    Ok(())
}

#[test]
fn without_an_agent_the_unanswered_are_sent_on_and_a_new_one_settles_the_rest() -> Result<()> {
    let name = "without_an_agent_the_unanswered_are_sent_on_and_a_new_one_settles_the_rest";
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let mut setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;
    let on_c3 = clients.on("c3")?;

    // when the agent is killed and then the cable of one controller is pulled, new connections do not fail,
    setting.agent.kill9()?;
    setting.lab.link_down("c3")?;
    let gone = moment::now_us();
    clients.load.wait_for_more(2 * RATE)?;
    let sent_on = setting.counter("redispatched")?;

    // and a new agent finds it down, and resets what it held.
    setting.agent.start_again()?;
    let started = moment::now_us();
    let verdict = since_us(&setting.agent.wait_health("c3", "down")?, "c3")?;
    clients.wait_reconnected("c3")?;
    let moved = clients.moved(&setting, "c3")?;
    let seen = clients.stop()?;
    println!(
        "no agent, then c3 silent: {}; {sent_on} were sent on meanwhile; a new agent knew after {} ms; {}; {moved} of the \
         others moved",
        seen.of_new_ones(gone),
        verdict.saturating_sub(started) / 1000,
        seen.of_long_ones(verdict, "its verdict")
    );
    only_one_syn_again("no agent, then a silent host", &seen.load, gone);
    assert!(sent_on > RATE / 4, "a share of them was sent on, not {sent_on}");
    assert_eq!(seen.broken().count() as u64, on_c3, "each of c3's broke once: {seen:?}");
    assert!(seen.broken().all(|one| (&*one.backend, &*one.why) == ("c3", "reset")), "by a RST: {seen:?}");
    assert_eq!(moved, 0, "those of the others stay");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all stand at the end: {seen:?}");
    Ok(())
}
