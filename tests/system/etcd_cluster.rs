//! An etcd cluster on the controllers, its clients behind the balancer on 6443: watches that outlive the agent.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use lb_tests::{
    Agent, AgentOptions, Family, Lab, Program, certificate,
    requirements::{self, Need},
};

use crate::setting::API;

const NEEDS: &[Need] =
    &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("etcd"), Need::Program("etcdctl")];

/// Where the members talk to each other, past the balancer.
const PEERS: u16 = 2380;
/// etcd says at a path of its own how it is.
const SERVICE: &str =
    "[[services]]\nname = \"etcd\"\nport = 6443\nprobe = \"https\"\nprobe_path = \"/health\"\n";
/// Watches, of which each is a connection for itself.
const WATCHES: usize = 4;

/// Three members, each with its data in the lab's directory.
fn cluster(lab: &Lab) -> Result<Vec<Program>> {
    let peer = |number: u8| format!("http://{}:{PEERS}", lab.plan().controller(Family::V4, number));
    let numbers = 1..=lab.plan().controllers;
    let all: Vec<String> = numbers.clone().map(|number| format!("c{number}={}", peer(number))).collect();
    let home = lab.directory().display();
    let vip = lab.service(API);
    let start = |number: u8| {
        let node = format!("c{number}");
        let arguments = [
            format!("--name={node}"),
            format!("--data-dir={home}/etcd-{node}"),
            format!("--listen-peer-urls={}", peer(number)),
            format!("--initial-advertise-peer-urls={}", peer(number)),
            format!("--initial-cluster={}", all.join(",")),
            format!("--listen-client-urls=https://0.0.0.0:{API}"),
            format!("--advertise-client-urls=https://{vip}"),
            format!("--cert-file={home}/vip.pem"),
            format!("--key-file={home}/vip.key"),
        ];
        Program::start(lab, &node, "etcd", arguments)
    };
    let mut members = numbers.map(start).collect::<Result<Vec<_>>>()?;
    // A member listens for clients when the cluster has a leader.
    for (member, node) in members.iter_mut().zip(lab.controllers()) {
        member.wait_until_it_listens(lab, &node, API)?;
    }
    Ok(members)
}

fn etcdctl(lab: &Lab) -> [String; 3] {
    let certificate = lab.directory().join("vip.pem");
    [
        format!("--endpoints=https://{}", lab.service(API)),
        format!("--cacert={}", certificate.display()),
        "--command-timeout=20s".into(),
    ]
}

fn put(lab: &Lab, key: &str) -> Result<()> {
    let mut command: Command = lab.namespace("client")?.command("etcdctl")?;
    command.args(etcdctl(lab)).args(["put", key, "value"]);
    let output = command.output().context("cannot run etcdctl")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the put of {key} fails: {}", error.trim());
    Ok(())
}

/// Every watch has told of this key.
fn all_see(watches: &[Program], key: &str) -> Result<()> {
    for watch in watches {
        watch.wait_for_line(&format!("the put of {key}"), |line| line == key)?;
    }
    Ok(())
}

/// The client's end of each connection that is established, and who has the other.
fn established(agent: &Agent) -> Result<Vec<(String, String)>> {
    let flows = agent.json(&["flows"])?;
    let flows = flows.as_array().context("flows --json is an array")?;
    let living = flows.iter().filter(|flow| flow["state"] == "established");
    let text = |flow: &serde_json::Value, key: &str| flow[key].as_str().unwrap_or_default().to_owned();
    Ok(living.map(|flow| (text(flow, "client"), text(flow, "backend"))).collect())
}

#[test]
fn etcd_watches_outlive_the_agent() -> Result<()> {
    if !requirements::met("etcd_watches_outlive_the_agent", NEEDS) {
        return Ok(());
    }
    // Given a cluster, and watches from the beginning of its history, so that none can come too late,
    let lab = Lab::builder().build()?;
    certificate(&lab)?;
    let mut members = cluster(&lab)?;
    let mut agent = Agent::start(&lab, AgentOptions { tables: SERVICE.into(), ..AgentOptions::default() })?;
    agent.wait_until_all("up")?;
    let arguments =
        || etcdctl(&lab).into_iter().chain(["watch", "--rev=1", "--prefix", "xlb"].map(String::from));
    let start = |_| Program::start(&lab, "client", "etcdctl", arguments());
    let mut watches = (0..WATCHES).map(start).collect::<Result<Vec<_>>>()?;
    put(&lab, "xlb-with-an-agent")?;
    all_see(&watches, "xlb-with-an-agent")?;
    let before = established(&agent)?;
    ensure!(before.len() >= WATCHES, "the balancer knows the {WATCHES} watches: {before:?}");

    // when the agent is killed, and when another one takes over, what is put is seen,
    agent.kill9()?;
    put(&lab, "xlb-without-an-agent")?;
    all_see(&watches, "xlb-without-an-agent")?;
    agent.start_again()?;
    agent.wait_until_all("up")?;
    put(&lab, "xlb-with-another-agent")?;
    all_see(&watches, "xlb-with-another-agent")?;

    // and by the same connections: a client that had to dial again would have another port.
    let after = established(&agent)?;
    let kept = before.iter().filter(|flow| after.contains(flow)).count();
    println!(
        "etcd: 3 members, {WATCHES} watches saw all of 3 puts; {kept} connections kept of {}",
        before.len()
    );
    assert_eq!(kept, WATCHES, "each watch kept its connection: {before:?} became {after:?}");
    assert!(watches.iter_mut().all(Program::is_alive), "every watch goes on");
    assert!(members.iter_mut().all(Program::is_alive), "every member goes on");
    Ok(())
}
