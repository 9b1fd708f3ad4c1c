//! However client, balancer and controllers hang together: connections are spread, and none fails.

use anyhow::Result;
use lb_tests::{
    AgentOptions, Families, Family, Fetch, Lab, LabBuilder, Load, LoadOptions, Topology, VipPlacement,
    requirements::{self, LAB, Need},
    status,
};

use crate::setting::{API, Setting};

const OFFLOAD: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool")];

fn generic(families: Families) -> AgentOptions {
    AgentOptions { families, xdp_mode: Some("generic"), ..AgentOptions::default() }
}

/// 300 connections: none fails, no SYN is lost, and every controller gets its share.
fn spreads(name: &str, setting: &Setting, family: Family) -> Result<()> {
    let target = setting.lab.plan().service(family, API);
    let report = Load::start(&setting.lab, &LoadOptions::to(target).count(300))?.finish()?;
    println!("{name}, {family:?}: {} failed of {}, {:?}", report.failed(), report.attempts, report.backends);
    assert_eq!(report.failed(), 0, "no connection fails by {family:?}: {report:?}");
    assert_eq!(report.connects_over_1s, 0, "no SYN is lost: {report:?}");
    for controller in setting.lab.controllers() {
        // A fair hash gives 100 each, with a standard deviation of 8.
        let share = report.by(&controller);
        assert!((50..=150).contains(&share), "{controller} has its share of 300: {report:?}");
    }
    Ok(())
}

/// A download of two seconds with whole bytes: segments, windows and checksums in both directions.
fn downloads(setting: &Setting, family: Family) -> Result<()> {
    let target = setting.lab.plan().service(family, API);
    let report = Fetch::start(&setting.lab, target, "/stream?seconds=2")?.finish()?;
    assert!(report.ok, "the download by {family:?} is whole: {report:?}");
    Ok(())
}

fn story(name: &str, lab: LabBuilder, options: AgentOptions) -> Result<()> {
    if !requirements::met(name, OFFLOAD) {
        return Ok(());
    }
    let families: &[Family] = match options.families {
        Families::V4 => &[Family::V4],
        Families::V6 => &[Family::V6],
        Families::Both => &[Family::V4, Family::V6],
    };
    let wanted_mode = options.xdp_mode;
    let setting = Setting::new(lab, options)?;
    if wanted_mode.is_some() {
        let status = setting.agent.status()?;
        assert_eq!(status::xdp_mode(&status), wanted_mode, "the mode is the one that was asked for");
    }
    for family in families {
        spreads(name, &setting, *family)?;
        downloads(&setting, *family)?;
    }
    Ok(())
}

#[test]
fn one_arm_by_ipv4() -> Result<()> {
    story("one_arm_by_ipv4", Lab::builder(), AgentOptions::default())
}

#[test]
fn one_arm_by_ipv6() -> Result<()> {
    story("one_arm_by_ipv6", Lab::builder(), generic(Families::V6))
}

#[test]
fn one_arm_by_both_families() -> Result<()> {
    story("one_arm_by_both_families", Lab::builder(), generic(Families::Both))
}

#[test]
fn the_vip_is_the_only_address() -> Result<()> {
    let lab = Lab::builder().vip(VipPlacement::OnlyAddress);
    story("the_vip_is_the_only_address", lab, generic(Families::Both))
}

#[test]
fn two_arms() -> Result<()> {
    story("two_arms", Lab::builder().topology(Topology::TwoArmed), generic(Families::Both))
}

#[test]
fn a_client_behind_a_router() -> Result<()> {
    story("a_client_behind_a_router", Lab::builder().topology(Topology::Routed), generic(Families::Both))
}

#[test]
fn generic_without_offload() -> Result<()> {
    story("generic_without_offload", Lab::builder().offload(false), generic(Families::Both))
}

#[test]
fn generic_with_aggregation() -> Result<()> {
    story("generic_with_aggregation", Lab::builder().gro(true), generic(Families::V4))
}

#[test]
fn native() -> Result<()> {
    let options = AgentOptions { xdp_mode: Some("native"), ..generic(Families::Both) };
    story("native", Lab::builder().native(), options)
}

#[test]
fn native_on_two_arms() -> Result<()> {
    let options = AgentOptions { xdp_mode: Some("native"), ..generic(Families::Both) };
    story("native_on_two_arms", Lab::builder().topology(Topology::TwoArmed).native(), options)
}

/// Controllers that are workers too talk to themselves by way of the balancer.
#[test]
fn a_controller_reaches_itself_through_the_vip() -> Result<()> {
    if !requirements::met("a_controller_reaches_itself_through_the_vip", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let options = LoadOptions::to(setting.lab.service(API)).from("c1").count(90);
    let report = Load::start(&setting.lab, &options)?.finish()?;
    println!("c1 through the VIP: {} failed of {}, {:?}", report.failed(), report.attempts, report.backends);
    assert_eq!(report.failed(), 0, "no connection of c1 fails: {report:?}");
    assert!(report.by("c1") > 0, "some of them come back to c1: {report:?}");
    Ok(())
}
