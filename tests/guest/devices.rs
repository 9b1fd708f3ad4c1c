//! What stands on other devices: a bond of two cables. It runs where the kernel has such devices, which `in_a_guest` sees to.
//!
//! A bond has native XDP since Linux 5.15, in the modes in which one can tell by which of its devices a packet leaves.

use anyhow::{Context, Result};
use lb_tests::{
    Agent, AgentOptions, Family, Hold, HoldOptions, Lab, LabBuilder, Load, LoadOptions, Segment, Server,
    requirements::{self, Need},
    setting::API,
    status,
};

const BOND: &[Need] =
    &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool"), Need::Device("bond")];
/// The second cable's end at the switch.
const SECOND_PORT: &str = "xlb-lb-second";

/// The balancer's interface becomes a bond of the same name, on its own cable and on a second one.
fn with_bond(lab: LabBuilder) -> Result<Lab> {
    let lab = lab.build()?;
    let balancer = lab.namespace("lb")?;
    let node = lab.plan().nodes().into_iter().find(|node| node.name == "lb");
    let interface =
        node.and_then(|node| node.interfaces.into_iter().next()).context("the balancer has one")?;
    let (name, segment) = (&interface.name, interface.segment);
    lab.switch().ip_batch(&[
        format!("link add {SECOND_PORT} type veth peer name second netns {}", balancer.name()),
        format!("link set {SECOND_PORT} master {} up", segment.bridge()),
    ])?;
    // A frame that native XDP sends is taken in by a far end that aggregates.
    lab.switch().exec("ethtool", &["-K", SECOND_PORT, "gro", "on"])?;
    let mut lines = vec![
        format!("link set {name} down"),
        format!("addr flush dev {name}"),
        format!("link set {name} name first"),
        format!("link add {name} type bond mode active-backup miimon 20"),
        format!("link set first master {name}"),
        format!("link set second master {name}"),
        format!("link set {name} type bond active_slave first"),
        format!("link set {name} up"),
    ];
    lines.extend(interface.hosts.iter().map(|host| address(segment, *host, name)));
    balancer.ip_batch(&lines)?;
    Ok(lab)
}

fn address(segment: Segment, host: u8, name: &str) -> String {
    format!("addr add {}/24 dev {name}", segment.address(Family::V4, host))
}

fn serve(lab: &Lab, mode: &'static str) -> Result<(Agent, Vec<Server>)> {
    let servers = Server::start_all(lab)?;
    let agent = Agent::start(lab, AgentOptions { xdp_mode: Some(mode), ..AgentOptions::default() })?;
    let status = agent.wait_until_all("up")?;
    assert_eq!(status::xdp_mode(&status), Some(mode), "the mode is the one that was asked for");
    Ok((agent, servers))
}

fn connects(lab: &Lab) -> Result<()> {
    let report = Load::start(lab, &LoadOptions::to(lab.service(API)).count(30))?.finish()?;
    assert_eq!(report.failed(), 0, "no connection fails: {report:?}");
    Ok(())
}

#[test]
fn a_bond_changes_its_cable_and_keeps_its_connections() -> Result<()> {
    if !requirements::met("a_bond_changes_its_cable_and_keeps_its_connections", BOND) {
        return Ok(());
    }
    let lab = with_bond(Lab::builder())?;
    let _serving = serve(&lab, "generic")?;
    connects(&lab)?;
    let hold = Hold::start(&lab, &HoldOptions::to(lab.service(API), 6))?;
    hold.backends()?;
    lab.link_down("lb")?;
    connects(&lab)?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty() && report.failures.is_empty(), "all of them stand: {report:?}");
    Ok(())
}

#[test]
fn a_bond_takes_the_program_natively() -> Result<()> {
    if !requirements::met("a_bond_takes_the_program_natively", BOND) {
        return Ok(());
    }
    let lab = with_bond(Lab::builder().native())?;
    let _serving = serve(&lab, "native")?;
    connects(&lab)
}
