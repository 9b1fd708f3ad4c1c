//! Two thousand connections at once: spread evenly, each answered, and none the worse for a new agent.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write, net::SocketAddr, os::unix::fs::OpenOptionsExt};

use anyhow::{Context, Result};
use lb_tests::{
    Agent, AgentOptions, Families, Family, Hold, HoldOptions, Lab, Server,
    requirements::{self, LAB},
};

use crate::setting::{API, Setting};

/// The connections of the control plane of some hundred nodes.
const CONNECTIONS: u64 = 2000;
/// Their source ports begin here: with a known hash key, the spread is the same in every run.
const FIRST_PORT: u16 = 10_000;
/// The hash key: any sixteen bytes.
const KEY: &[u8; 16] = b"xdplb laboratory";

/// Three controllers and an agent with a known key.
fn with_a_known_key(families: Families) -> Result<Setting> {
    let lab = Lab::builder().build()?;
    let key = lab.directory().join("cluster.key");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?.write_all(KEY)?;
    let servers = Server::start_all(&lab)?;
    let top = format!("cluster_key_file = \"{}\"", key.display());
    let agent = Agent::start(&lab, AgentOptions { families, top, ..AgentOptions::default() })?;
    agent.wait_until_all("up")?;
    Ok(Setting { agent, servers, lab })
}

/// Who a connection is with, by the client's address: the backend, and the source that it sees.
type Flows = BTreeMap<String, (String, String)>;

fn established(agent: &Agent, target: SocketAddr) -> Result<Flows> {
    let flows = agent.json(&["flows"])?;
    let flows = flows.as_array().context("flows --json is an array")?;
    let text = |flow: &serde_json::Value, key: &str| flow[key].as_str().unwrap_or_default().to_owned();
    let ours =
        flows.iter().filter(|flow| flow["vip"] == target.to_string() && flow["state"] == "established");
    Ok(ours.map(|flow| (text(flow, "client"), (text(flow, "backend"), text(flow, "snat")))).collect())
}

#[test]
fn two_thousand_connections_at_once_are_spread_evenly() -> Result<()> {
    if !requirements::met("two_thousand_connections_at_once_are_spread_evenly", LAB) {
        return Ok(());
    }
    let setting = with_a_known_key(Families::V4)?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::at_once(target, CONNECTIONS, FIRST_PORT))?;
    let shares = hold.backends()?;
    let used = &setting.agent.status()?["flow_table"]["used"];
    let report = hold.stop()?;
    println!(
        "{CONNECTIONS} at once: {} opened, {shares:?}, {used} in the flow table, {} answered again, {} broke",
        report.opened,
        report.alive,
        report.broken.len()
    );
    assert_eq!(report.opened, CONNECTIONS, "each is answered: {:?}", report.failures);
    assert_eq!(report.alive, CONNECTIONS, "and answered again at the end: {:?}", report.broken);
    for (controller, share) in &shares {
        let off = (3 * share).abs_diff(CONNECTIONS);
        assert!(10 * off <= CONNECTIONS, "{controller} is within 10 % of even: {shares:?}");
    }
    assert_eq!(shares.len(), 3, "every controller has a share: {shares:?}");
    Ok(())
}

#[test]
fn a_new_agent_takes_over_two_thousand_connections() -> Result<()> {
    if !requirements::met("a_new_agent_takes_over_two_thousand_connections", LAB) {
        return Ok(());
    }
    // Given two thousand connections,
    let mut setting = with_a_known_key(Families::V6)?;
    let target = setting.lab.plan().service(Family::V6, API);
    let hold = Hold::start(&setting.lab, &HoldOptions::at_once(target, CONNECTIONS, FIRST_PORT))?;
    let before = established(&setting.agent, target)?;
    assert_eq!(before.len() as u64, CONNECTIONS, "the balancer knows all of them");

    // when the agent dies, they are in the pinned maps,
    setting.agent.kill9()?;
    let without = established(&setting.agent, target)?;
    assert!(without == before, "without an agent the same {} flows stand", before.len());

    // and a new agent finds them as they were.
    setting.agent.start_again()?;
    setting.agent.wait_until_all("up")?;
    let after = established(&setting.agent, target)?;
    let changed = before.iter().filter(|(client, whom)| after.get(*client) != Some(whom)).count();
    let report = hold.stop()?;
    println!(
        "take-over: {} flows before, {} without an agent, {} after, {changed} changed, {} answered again",
        before.len(),
        without.len(),
        after.len(),
        report.alive
    );
    assert!(after == before, "{changed} of {} flows are not as they were", before.len());
    assert_eq!(
        report.alive, CONNECTIONS,
        "each answers still, from the same controller: {:?}",
        report.broken
    );
    Ok(())
}
