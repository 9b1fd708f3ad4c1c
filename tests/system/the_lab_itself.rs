//! Before anything is said about a balancer: the laboratory does what it promises, without one.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use lb_tests::{
    Family, Fetch, Hold, HoldOptions, Lab, Load, LoadOptions, PATIENCE, Server, ServerOptions, Topology,
    cleanup, moment,
    requirements::{self, LAB, Need},
};

const OFFLOAD: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ethtool")];

fn controller(lab: &Lab, family: Family, number: u8) -> SocketAddr {
    SocketAddr::new(lab.plan().controller(family, number), 6443)
}

/// A node reaches the controllers by both families at once, without the first packet being lost.
fn reaches_all(lab: &Lab, node: &str) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        for number in 1..=lab.plan().controllers {
            let options = LoadOptions::to(controller(lab, family, number)).from(node).count(5);
            let report = Load::start(lab, &options)?.finish()?;
            assert_eq!(
                report.by(&format!("c{number}")),
                5,
                "{node} reaches c{number} by {family:?}: {report:?}"
            );
            assert_eq!(report.connects_over_1s, 0, "no SYN is lost on the way: {report:?}");
        }
    }
    Ok(())
}

#[test]
fn one_segment_carries_both_families() -> Result<()> {
    if !requirements::met("one_segment_carries_both_families", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(3).build()?;
    let _servers = Server::start_all(&lab)?;
    reaches_all(&lab, "client")?;
    reaches_all(&lab, "c1")
}

#[test]
fn a_two_armed_balancer_stands_between_two_segments() -> Result<()> {
    if !requirements::met("a_two_armed_balancer_stands_between_two_segments", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).topology(Topology::TwoArmed).build()?;
    let _servers = Server::start_all(&lab)?;
    reaches_all(&lab, "lb")?;
    let target = controller(&lab, Family::V4, 1);
    let report = Load::start(&lab, &LoadOptions::to(target).count(1))?.finish()?;
    assert_eq!(report.ok, 0, "there is no way around the balancer");
    Ok(())
}

#[test]
fn a_client_behind_a_router_reaches_the_controllers() -> Result<()> {
    if !requirements::met("a_client_behind_a_router_reaches_the_controllers", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).topology(Topology::Routed).client_addresses(3).build()?;
    let _servers = Server::start_all(&lab)?;
    reaches_all(&lab, "client")?;
    let third = lab.plan().client(Family::V4, 2);
    let options = LoadOptions::to(controller(&lab, Family::V4, 1)).sources(&[third]).count(1);
    assert_eq!(Load::start(&lab, &options)?.finish()?.ok, 1, "every address of the client works");
    Ok(())
}

#[test]
fn a_lab_for_native_programs_still_carries_packets() -> Result<()> {
    if !requirements::met("a_lab_for_native_programs_still_carries_packets", OFFLOAD) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).native().gro(true).build()?;
    let _servers = Server::start_all(&lab)?;
    reaches_all(&lab, "client")?;
    let features = lab.exec_in("client", "ethtool", &["-k", "xlb0"])?;
    let features = String::from_utf8(features.stdout)?;
    assert!(features.contains("tx-checksumming: off"), "offload is off: {features}");
    Ok(())
}

#[test]
fn servers_say_who_they_are_and_whom_they_see() -> Result<()> {
    if !requirements::met("servers_say_who_they_are_and_whom_they_see", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let options = ServerOptions { arguments: vec!["--readyz=503".into()] };
    let _server = Server::start_with(&lab, "c1", &options)?;
    let target = controller(&lab, Family::V4, 1);
    let whoami = Fetch::start(&lab, target, "/whoami")?.finish()?;
    let peer = lab.plan().client(Family::V4, 0).to_string();
    assert!(whoami.text.contains("\"c1\"") && whoami.text.contains(&peer), "{whoami:?} names c1 and {peer}");
    assert_eq!(Fetch::start(&lab, target, "/readyz")?.finish()?.status, 503);
    Fetch::start(&lab, target, "/set-readyz?status=401")?.finish()?;
    assert_eq!(Fetch::start(&lab, target, "/readyz")?.finish()?.status, 401);
    let stream = Fetch::start(&lab, target, "/stream?seconds=1")?.finish()?;
    assert!(stream.ok && stream.bytes == 70_000, "the download is whole: {stream:?}");
    Ok(())
}

#[test]
fn broken_connections_are_noticed_and_failures_have_names() -> Result<()> {
    if !requirements::met("broken_connections_are_noticed_and_failures_have_names", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).build()?;
    let server = Server::start(&lab, "c1")?;
    let target = controller(&lab, Family::V4, 1);
    let silent = HoldOptions { interval: Duration::ZERO, ..HoldOptions::to(target, 2) };
    let hold = Hold::start(&lab, &silent)?;
    assert_eq!(hold.backends()?.get("c1"), Some(&2));

    server.kill()?;
    let broken = hold.wait_broken(2, Duration::from_secs(2))?;
    assert!(broken.iter().all(|broken| broken.backend == "c1"), "who broke is told: {broken:?}");
    assert_eq!(hold.stop()?.opened, 2);

    let report = Load::start(&lab, &LoadOptions::to(target).count(3))?.finish()?;
    assert_eq!(report.failures.get("connect refused"), Some(&3), "a dead process refuses: {report:?}");
    lab.link_down("c1")?;
    let options = LoadOptions::to(target).count(1).argument("--timeout-ms", "300");
    let report = Load::start(&lab, &options)?.finish()?;
    assert_eq!(report.failures.get("connect timeout"), Some(&1), "a dead host is silent: {report:?}");

    lab.link_up("c1")?;
    let _server = Server::start(&lab, "c1")?;
    let report = Load::start(&lab, &LoadOptions::to(target).rate(100).count(50))?.finish()?;
    assert_eq!(report.by("c1"), 50, "the host is back with its addresses: {report:?}");
    Ok(())
}

#[test]
fn a_muted_node_keeps_its_carrier_and_who_waits_sends_its_syn_again() -> Result<()> {
    if !requirements::met("a_muted_node_keeps_its_carrier_and_who_waits_sends_its_syn_again", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let _server = Server::start(&lab, "c1")?;
    let target = controller(&lab, Family::V4, 1);
    let report = Load::start(&lab, &LoadOptions::to(target).count(1))?.finish()?;
    assert_eq!(report.with_syns_again(1), 0, "a SYN that arrives is sent once: {report:?}");

    lab.mute("c1")?;
    let before = moment::now_us();
    let short = LoadOptions::to(target).count(1).argument("--timeout-ms", "300");
    let report = Load::start(&lab, &short)?.finish()?;
    assert_eq!(report.failures.get("connect timeout"), Some(&1), "a muted host is silent: {report:?}");
    assert_eq!((report.failed_since(before), report.failed_since(moment::now_us())), (1, 0), "it began then");
    let carrier = lab.exec_in("c1", "ip", &["link", "show", "xlb0"])?;
    assert!(String::from_utf8(carrier.stdout)?.contains("LOWER_UP"), "and keeps its carrier");

    let waiting = Load::start(&lab, &LoadOptions::to(target).count(1))?;
    waiting.wait_until("a connection", |report| report.begun > 0)?;
    lab.unmute("c1")?;
    let report = waiting.finish()?;
    assert_eq!((report.ok, report.with_syns_again(1)), (1, 1), "the SYN sent again arrived: {report:?}");
    assert!(report.connect_again.max_us > 0, "and its time is told apart: {report:?}");
    Ok(())
}

#[test]
fn what_breaks_is_made_anew_and_a_server_goes_as_it_is_told() -> Result<()> {
    if !requirements::met("what_breaks_is_made_anew_and_a_server_goes_as_it_is_told", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let options = ServerOptions { arguments: vec!["--drain-ms=3000".into()] };
    let mut server = Server::start_with(&lab, "c1", &options)?;
    let target = controller(&lab, Family::V4, 1);
    let again = HoldOptions { reconnect: true, ..HoldOptions::silent(target, 2) };
    let hold = Hold::start(&lab, &again)?;

    server.terminate();
    let unready = LoadOptions::to(target).count(1);
    assert_eq!(Load::start(&lab, &unready)?.finish()?.ok, 1, "it serves on");
    assert_eq!(Fetch::start(&lab, target, "/readyz")?.finish()?.status, 500, "and says that it goes");
    assert!(server.wait_end()?.success(), "and then it ends");
    assert_eq!(hold.wait_broken(2, PATIENCE)?.len(), 2, "which is noticed");

    let report = hold.stop()?;
    assert_eq!((report.opened, report.alive), (2, 0), "nobody was there to connect to: {report:?}");
    assert_eq!(report.failures.get("connect refused"), Some(&2), "though both tried: {report:?}");
    Ok(())
}

#[test]
fn a_lab_leaves_nothing_behind() -> Result<()> {
    if !requirements::met("a_lab_leaves_nothing_behind", LAB) {
        return Ok(());
    }
    let (id, mut bystander) = {
        let lab = Lab::builder().controllers(1).build()?;
        let mut command = lab.namespace("c1")?.command("sleep")?;
        command.arg("60");
        (lab.id().to_owned(), command.spawn()?)
    };
    assert!(!cleanup::exists(&id), "namespaces and directory of lab {id} are gone");
    assert!(!bystander.wait()?.success(), "what ran inside was ended");
    Ok(())
}

#[test]
fn two_labs_live_side_by_side() -> Result<()> {
    if !requirements::met("two_labs_live_side_by_side", LAB) {
        return Ok(());
    }
    let one = Lab::builder().controllers(1).build()?;
    let other = Lab::builder().controllers(1).build()?;
    let _server = Server::start(&one, "c1")?;
    let target = controller(&one, Family::V4, 1);
    let options = LoadOptions::to(target).count(1);
    assert_eq!(Load::start(&one, &options)?.finish()?.ok, 1);
    assert_eq!(Load::start(&other, &options)?.finish()?.ok, 0, "the same address elsewhere is another host");
    Ok(())
}
