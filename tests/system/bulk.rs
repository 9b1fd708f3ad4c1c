//! iperf3 through the balancer: hundreds of megabytes each way, by both families.
//!
//! iperf3 ends as soon as enough was sent and does not read what its sockets hold then, so up to two socket buffers
//! may be missing at its receiver. That every byte is as it was is for the story of nginx and curl.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    Agent, AgentOptions, Families, Family, Lab, LabBuilder, Program,
    requirements::{self, Need},
};
use serde_json::Value;

use crate::setting::API;

const NEEDS: &[Need] =
    &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool"), Need::Program("iperf3")];

/// iperf3 speaks no TLS.
const SERVICE: &str = "[[services]]\nname = \"iperf3\"\nport = 6443\nprobe = \"tcp\"\n";
/// Bytes of each transfer.
const BYTES: u64 = 200_000_000;
/// Each socket buffer, of which the kernel gives twice as much (socket(7)): little, as it bounds what may be missing.
const BUFFER: u64 = 200_000;
/// A packet has no more bytes than this, whatever the offload: the length field of IP has 16 bits.
const LARGEST_PACKET: u64 = 65_535;

fn forwarded(agent: &Agent) -> Result<u64> {
    agent.json(&["counters"])?["forwarded"].as_u64().context("there is a counter `forwarded`")
}

/// What iperf3 tells of a transfer.
struct Told {
    sent: u64,
    received: u64,
    sent_again: u64,
    megabits_per_second: f64,
}

fn transfer(lab: &Lab, family: Family, back: bool) -> Result<Told> {
    let vip = lab.plan().vip(family).to_string();
    let [port, bytes, buffer] = [API.into(), BYTES, BUFFER].map(|number| number.to_string());
    let mut command = lab.namespace("client")?.command("iperf3")?;
    command.args(["--client", &vip, "--port", &port, "--bytes", &bytes, "--window", &buffer, "--json"]);
    command.args(back.then_some("--reverse"));
    let output = command.output().context("cannot run iperf3")?;
    let report: Value = serde_json::from_slice(&output.stdout).context("iperf3 printed no JSON")?;
    ensure!(output.status.success(), "iperf3 failed: {}", report["error"]);
    let (sent, received) = (&report["end"]["sum_sent"], &report["end"]["sum_received"]);
    Ok(Told {
        sent: sent["bytes"].as_u64().context("iperf3 tells what it sent")?,
        received: received["bytes"].as_u64().context("iperf3 tells what it received")?,
        sent_again: sent["retransmits"].as_u64().unwrap_or(0),
        megabits_per_second: received["bits_per_second"].as_f64().unwrap_or(0.0) / 1e6,
    })
}

/// Both directions by both families.
fn story(name: &str, lab: LabBuilder, mode: &'static str) -> Result<()> {
    if !requirements::met(name, NEEDS) {
        return Ok(());
    }
    let lab = lab.controllers(1).build()?;
    let mut server = Program::start(&lab, "c1", "iperf3", ["--server", "--port", &API.to_string()])?;
    server.wait_until_it_listens(&lab, "c1", API)?;
    let options = AgentOptions {
        tables: SERVICE.into(),
        families: Families::Both,
        xdp_mode: Some(mode),
        ..AgentOptions::default()
    };
    let agent = Agent::start(&lab, options)?;
    agent.wait_until_all("up")?;
    for family in [Family::V4, Family::V6] {
        for back in [false, true] {
            let before = forwarded(&agent)?;
            let told = transfer(&lab, family, back)?;
            let (sent, received) = (told.sent, told.received);
            let packets = forwarded(&agent)? - before;
            let way = if back { "down" } else { "up" };
            println!(
                "{name}: {family:?} {way}, {sent} bytes sent, {received} received, {packets} packets forwarded, \
                 {} sent again, {:.0} Mbit/s",
                told.sent_again, told.megabits_per_second
            );
            assert!(sent >= BYTES, "iperf3 sent what it was asked to: {sent}");
            let missing = sent - received;
            assert!(
                missing <= 4 * BUFFER,
                "all arrives but for what two sockets hold: {missing} bytes are missing"
            );
            assert!(
                packets >= received / LARGEST_PACKET,
                "the balancer counted what it forwarded: {packets}"
            );
        }
    }
    Ok(())
}

#[test]
fn bulk_with_offload() -> Result<()> {
    story("bulk_with_offload", Lab::builder(), "generic")
}

#[test]
fn bulk_without_offload() -> Result<()> {
    story("bulk_without_offload", Lab::builder().offload(false), "generic")
}

#[test]
fn bulk_in_native_mode() -> Result<()> {
    story("bulk_in_native_mode", Lab::builder().native(), "native")
}
