//! DSR, the controller's side: given a controller that has the VIP on its loopback and `xdplb decap` on its interface, what
//! comes in a tunnel reaches its sockets, and they answer the client themselves. The tunnels are made by hand.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    Decap, Family, Fetch, Lab, LabBuilder, Load, LoadOptions, Program, Server, Tunnel,
    requirements::{self, Need},
};

use serde_json::Value;

use crate::setting::API;

const NEEDS: &[Need] =
    &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool"), Need::Program("sysctl")];

/// One controller, on a segment where no checksum is left unfinished.
fn lab() -> Result<Lab> {
    Lab::builder().controllers(1).native().build()
}

fn vips(lab: &Lab) -> [String; 2] {
    [Family::V4, Family::V6].map(|family| lab.plan().vip(family).to_string())
}

/// Whether the client comes through to the VIP, from which the controller answers.
fn answers(lab: &Lab, family: Family) -> Result<u64> {
    let to_vip = LoadOptions::to(lab.plan().service(family, API)).count(1);
    let report = Load::start(lab, &to_vip.argument("--timeout-ms", "500"))?.finish()?;
    Ok(report.by("c1"))
}

/// Does what the check tells, until it tells nothing more.
fn make_ready(decap: &Decap<'_>, arguments: &[&str]) -> Result<Vec<String>> {
    let mut obeyed = Vec::new();
    for (what, run) in decap.findings(arguments)? {
        println!("{what}: {run}");
        decap.obey(&run)?;
        obeyed.push(run);
    }
    assert_eq!(decap.findings(arguments)?, [], "what the check tells is enough");
    Ok(obeyed)
}

#[test]
fn a_controller_answers_the_clients_of_its_tunnels_itself() -> Result<()> {
    if !requirements::met("a_controller_answers_the_clients_of_its_tunnels_itself", NEEDS) {
        return Ok(());
    }
    let lab = lab()?;
    let _server = Server::start(&lab, "c1")?;
    Tunnel::prepare(&lab)?;
    let decap = Decap::on(&lab, "c1")?;
    let [v4, v6] = vips(&lab);
    let arguments = ["--interface", "xlb0", "--vip", &v4, "--vip", &v6];
    let obeyed = make_ready(&decap, &arguments)?;
    assert!(obeyed.last().is_some_and(|run| run.starts_with("xdplb ")), "the program at last: {obeyed:?}");

    for mode in ["generic", "native"] {
        decap.run(&[&arguments[..], &["--xdp-mode", mode]].concat())?;
        let attached = &decap.status()?["interfaces"];
        assert_eq!(attached[0]["xdp_mode"], mode, "as it was wanted: {attached}");
        for (vip, outer) in [
            (Family::V4, Family::V4),
            (Family::V6, Family::V6),
            (Family::V4, Family::V6),
            (Family::V6, Family::V4),
        ] {
            for (gue_port, counter) in [(None, "taken_from_ipip"), (Some(6080), "taken_from_gue")] {
                let what = format!("{vip:?} in {outer:?}, {counter}, {mode}");
                let before = decap.status()?["counters"][counter].as_u64();
                let _tunnel = Tunnel::start(&lab, vip, outer, 1, gue_port)?;
                let target = lab.plan().service(vip, API);
                let report = Load::start(&lab, &LoadOptions::to(target).count(20))?.finish()?;
                assert_eq!((report.by("c1"), report.failed()), (20, 0), "{what}: {report:?}");
                let whoami = Fetch::start(&lab, target, "/whoami")?.finish()?;
                let client = lab.plan().client(vip, 0).to_string();
                assert!(whoami.text.contains(&client), "{what}: the client is seen as itself: {whoami:?}");
                let after = decap.status()?["counters"][counter].as_u64();
                assert!(after > before, "{what}: counted, and not begun anew: {before:?}, {after:?}");
            }
        }
    }

    let tunnel = Tunnel::start(&lab, Family::V4, Family::V4, 1, None)?;
    assert_eq!(answers(&lab, Family::V4)?, 1, "it does so far");
    decap.run(&["--remove"])?;
    assert_eq!(answers(&lab, Family::V4)?, 0, "nobody takes the tunnels off any more");
    drop(tunnel);
    assert!(!decap.pins().exists(), "no pin is left");
    Ok(())
}

/// What the check tells of ARP is true: without it the controller is asked for the VIP and answers, with it the segment
/// hears nothing. In IPv6 nobody hears of an address of the loopback.
#[test]
fn a_controller_that_is_ready_keeps_its_vips_to_itself() -> Result<()> {
    if !requirements::met("a_controller_that_is_ready_keeps_its_vips_to_itself", NEEDS) {
        return Ok(());
    }
    let lab = lab()?;
    let _server = Server::start(&lab, "c1")?;
    let decap = Decap::on(&lab, "c1")?;
    let vips = vips(&lab);
    for (vip, prefix) in vips.iter().zip([24, 64]) {
        lab.exec_in("lb", "ip", &["addr", "del", &format!("{vip}/{prefix}"), "dev", "xlb0"])?;
    }
    let arguments = ["--interface", "xlb0", "--vip", &vips[0], "--vip", &vips[1]];
    let findings = decap.findings(&arguments)?;
    for (_, run) in findings.iter().filter(|(_, run)| run.starts_with("ip addr add")) {
        decap.obey(run)?;
    }
    assert_eq!(answers(&lab, Family::V4)?, 1, "the controller has told the segment that the VIP is its own");
    assert_eq!(answers(&lab, Family::V6)?, 0, "in IPv6 it has not");

    let hiding = decap.findings(&arguments)?;
    for (_, run) in hiding.iter().filter(|(_, run)| run.contains("arp_")) {
        decap.obey(run)?;
    }
    lab.exec_in("client", "ip", &["neigh", "flush", "dev", "xlb0"])?;
    assert_eq!(answers(&lab, Family::V4)?, 0, "now it keeps it to itself");
    Ok(())
}

/// Bytes of an upload: some thousand packets of full size.
const BYTES: u64 = 10_000_000;
/// Each socket buffer, and what iperf3 may leave unread at its end: twice as much at each side.
const BUFFER: u64 = 200_000;

/// Uploads from the client to the VIP; gives what has arrived.
fn upload(lab: &Lab, family: Family) -> Result<u64> {
    let vip = lab.plan().vip(family).to_string();
    let [port, bytes, buffer] = [API.into(), BYTES, BUFFER].map(|number| number.to_string());
    let mut command = lab.namespace("client")?.command("iperf3")?;
    let output = command
        .args(["--client", &vip, "--port", &port, "--bytes", &bytes, "--window", &buffer, "--json"])
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("iperf3 printed no JSON")?;
    ensure!(output.status.success(), "iperf3 failed: {}", report["error"]);
    let received = report["end"]["sum_received"]["bytes"].as_u64();
    received.with_context(|| format!("iperf3 did not come to its end: {}", report["error"]))
}

/// A client fills its packets to the last byte, and a tunnel needs room beside them. The controller may also merge what
/// it receives, before the program sees it (GRO) or after.
fn full_packets(name: &str, lab: LabBuilder, mode: &str) -> Result<()> {
    if !requirements::met(name, &[NEEDS, &[Need::Program("iperf3")]].concat()) {
        return Ok(());
    }
    let lab = lab.controllers(1).build()?;
    Tunnel::prepare(&lab)?;
    for port in ["xlb-lb", "xlb-c1"] {
        lab.switch().exec("ip", &["link", "set", "dev", port, "mtu", "1548"])?;
    }
    lab.exec_in("lb", "ip", &["link", "set", "dev", "xlb0", "mtu", "1548"])?;
    let decap = Decap::on(&lab, "c1")?;
    let [v4, v6] = vips(&lab);
    let arguments = ["--interface", "xlb0", "--vip", &v4, "--vip", &v6];
    make_ready(&decap, &arguments)?;
    decap.run(&[&arguments[..], &["--xdp-mode", mode]].concat())?;
    for (family, gue_port) in
        [(Family::V4, None), (Family::V4, Some(6080)), (Family::V6, None), (Family::V6, Some(6080))]
    {
        let _tunnel = Tunnel::start(&lab, family, family, 1, gue_port)?;
        // One for each, which nobody but the client dials: a server that is at the end of a transfer, or of a connection
        // that came to nothing, refuses the next.
        let arguments = ["--server", "--forceflush", "--port", &API.to_string()];
        let server = Program::start(&lab, "c1", "iperf3", arguments)?;
        server.wait_for_line("listening", |line| line.contains("listening"))?;
        let received = upload(&lab, family)?;
        println!("{name}: {family:?}, port {gue_port:?}: {received} bytes received");
        assert!(received + 4 * BUFFER >= BYTES, "{family:?}, port {gue_port:?}: {received} bytes arrived");
    }
    Ok(())
}

#[test]
fn full_packets_fit_into_tunnels() -> Result<()> {
    full_packets("full_packets_fit_into_tunnels", Lab::builder().offload(false), "generic")
}

#[test]
fn full_packets_fit_into_tunnels_that_are_merged() -> Result<()> {
    full_packets(
        "full_packets_fit_into_tunnels_that_are_merged",
        Lab::builder().offload(false).gro(true),
        "generic",
    )
}

#[test]
fn full_packets_fit_into_tunnels_in_native_mode() -> Result<()> {
    full_packets("full_packets_fit_into_tunnels_in_native_mode", Lab::builder().native().gro(true), "native")
}
