//! A controller's host dies and is silent: who connects after that sends one SYN again, and is answered by another.

use anyhow::{Context, Result};
use lb_tests::{
    AgentOptions, Families, Family, Hold, HoldOptions, Lab, LabBuilder, Load, LoadOptions, PATIENCE,
    Topology, moment,
    report::LoadReport,
    requirements::{self, LAB, Need},
};

use crate::setting::{API, MANY, Setting};

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

#[test]
fn a_silent_host_costs_one_syn_more() -> Result<()> {
    story("a_silent_host_costs_one_syn_more", Lab::builder(), AgentOptions::default())
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
    // Given long connections that are silent,
    let mut setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::silent(target, MANY))?;
    let on_c3 = hold.backends()?.get("c3").copied().context("some of many connections go to c3")?;

    // when the agent is killed and then the cable of one controller is pulled, new connections do not fail,
    setting.agent.kill9()?;
    setting.lab.link_down("c3")?;
    let gone = moment::now_us();
    let report = Load::start(&setting.lab, &LoadOptions::to(target).rate(30).count(120))?.finish()?;
    only_one_syn_again("no agent, then a silent host", &report, gone);
    assert!(setting.counter("redispatched")? > 10, "a share of them was sent on");

    // and a new agent finds it down, and resets what it held.
    setting.agent.start_again()?;
    setting.agent.wait_health("c3", "down")?;
    let broken = hold.wait_broken(on_c3 as usize, PATIENCE)?;
    println!("a new agent: {} of {on_c3} long connections were reset", broken.len());
    assert!(broken.iter().all(|broken| (&*broken.backend, &*broken.why) == ("c3", "reset")), "{broken:?}");
    let report = hold.stop()?;
    assert_eq!(report.alive + on_c3, report.opened, "the others live on: {report:?}");
    Ok(())
}
