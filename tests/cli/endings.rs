//! How the connections of a backend end: by themselves, or reset because somebody asked for it.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    AgentOptions, Hold, HoldOptions, Lab, PATIENCE,
    report::Counts,
    requirements::{self, LAB, Need},
    status,
};

use crate::setting::{MANY, Setting, answer, refusal};

/// The connections of a backend, as `flows --json` has them, which are not over.
fn flows(setting: &Setting, filter: &[&str]) -> Result<Vec<serde_json::Value>> {
    let all = setting.agent.json(&[&["flows"], filter].concat())?;
    let all = all.as_array().cloned().unwrap_or_else(|| panic!("flows are an array: {all}"));
    Ok(all.into_iter().filter(|flow| flow["state"] != "closed").collect())
}

#[test]
fn remove_lets_flows_end_and_remembers_whose_they_are() -> Result<()> {
    if !requirements::met("remove_lets_flows_end_and_remembers_whose_they_are", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = setting.hold(MANY)?;
    let on_c1 = by["c1"];
    setting.agent.xdplb(&["backend", "remove", "c1"])?;

    // The flows go on, and have a name.
    assert_eq!(flows(&setting, &["--backend", "c1"])?.len() as u64, on_c1, "they are still c1's");
    let status = setting.agent.wait_status("c1 as a removed backend", |status| {
        status::backend(status, "c1").is_some_and(|entry| entry["flows"] == on_c1)
    })?;
    assert_eq!(status::admin(&status, "c1"), Some("draining"), "it gets nothing new: {status:#}");
    assert_eq!(status::health(&status, "c1", 6443), None, "no service has it: {status:#}");

    // One that comes meanwhile is not given what is c1's.
    setting.agent.xdplb(&["backend", "add", "c9=10.77.0.19"])?;
    assert_eq!(flows(&setting, &["--backend", "c9"])?.len(), 0, "c9 holds nothing");
    assert_eq!(flows(&setting, &["--backend", "c1"])?.len() as u64, on_c1, "they are still c1's");
    setting.agent.xdplb(&["backend", "remove", "c9"])?;

    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "none of {on_c1} connections to c1 broke: {report:?}");
    setting.agent.wait_status("c1 forgotten", |status| status::backend(status, "c1").is_none())?;
    Ok(())
}

#[test]
fn remove_now_resets_flows_also_when_it_comes_second() -> Result<()> {
    if !requirements::met("remove_now_resets_flows_also_when_it_comes_second", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = setting.hold(MANY)?;
    setting.agent.xdplb(&["backend", "remove", "c1"])?;
    let told = setting.agent.xdplb(&["backend", "remove", "c1", "--now"])?;
    assert!(told.contains("its last flows are reset"), "it is gone, its flows were not: {told}");
    setting.agent.xdplb(&["backend", "remove", "c2", "--now"])?;
    let count = by["c1"] + by["c2"];
    let broken = hold.wait_broken(usize::try_from(count)?, PATIENCE)?;
    assert!(broken.iter().all(|one| one.backend != "c3"), "c3's go on: {broken:?}");
    assert!(broken.iter().all(|one| one.why.contains("reset")), "a RST says so at once: {broken:?}");
    assert_eq!(hold.stop()?.broken.len() as u64, count, "no other broke");
    Ok(())
}

#[test]
fn disable_resets_both_ends_and_no_others() -> Result<()> {
    if !requirements::met("disable_resets_both_ends_and_no_others", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = setting.hold(MANY)?;
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    let broken = hold.wait_broken(usize::try_from(by["c2"])?, PATIENCE)?;
    assert!(broken.iter().all(|one| one.backend == "c2" && one.why.contains("reset")), "{broken:?}");
    assert_eq!(hold.stop()?.broken.len() as u64, by["c2"], "no other broke");
    Ok(())
}

/// Connections on which nobody says anything after the first answer.
fn silent(setting: &Setting) -> Result<(Hold, Counts)> {
    let options = HoldOptions { interval: Duration::ZERO, ..HoldOptions::to(setting.service(), MANY) };
    let hold = Hold::start(&setting.lab, &options)?;
    let by = hold.backends()?;
    Ok((hold, by))
}

/// That those of these backends break, all of them, by a RST, and no others.
fn only_those_of(backends: &[&str], hold: Hold, by: &Counts) -> Result<()> {
    let count: u64 = backends.iter().map(|name| by[*name]).sum();
    let broken = hold.wait_broken(usize::try_from(count)?, PATIENCE)?;
    let is_one = |name: &String| backends.contains(&name.as_str());
    assert!(broken.iter().all(|one| is_one(&one.backend)), "those of {backends:?} and no others: {broken:?}");
    assert!(broken.iter().all(|one| one.why.contains("reset")), "a RST says so: {broken:?}");
    assert_eq!(hold.stop()?.broken.len() as u64, count, "no other broke");
    Ok(())
}

/// The sockets of a controller's server that stand with a client.
fn sockets_of(setting: &Setting, controller: &str) -> Result<usize> {
    let words = ["--no-header", "--tcp", "--numeric", "state", "established", "sport", "=", ":6443"];
    let shown = setting.lab.exec_in(controller, "ss", &words)?;
    Ok(String::from_utf8_lossy(&shown.stdout).lines().count())
}

#[test]
fn disable_and_remove_now_reach_both_ends_while_nobody_speaks() -> Result<()> {
    let name = "disable_and_remove_now_reach_both_ends_while_nobody_speaks";
    if !requirements::met(name, &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("ss")]) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = silent(&setting)?;
    assert!(sockets_of(&setting, "c2")? as u64 >= by["c2"], "the controller holds its end");
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    setting.agent.xdplb(&["backend", "remove", "c3", "--now"])?;
    setting.wait_log("c2: ")?;
    only_those_of(&["c2", "c3"], hold, &by)?;
    setting.agent.wait_status("no flow of c2 and c3", |status| {
        ["c2", "c3"].iter().all(|name| status::backend(status, name).is_none_or(|entry| entry["flows"] == 0))
    })?;
    assert_eq!(sockets_of(&setting, "c3")?, 0, "the controller has let go of its end");
    Ok(())
}

#[test]
fn what_a_reload_finds_disabled_ends_too() -> Result<()> {
    if !requirements::met("what_a_reload_finds_disabled_ends_too", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = silent(&setting)?;
    let text = setting.file()?.replace("name = \"c1\"", "name = \"c1\"\nstate = \"disabled\"");
    std::fs::write(setting.agent.config_file(), text)?;
    setting.agent.xdplb(&["reload"])?;
    only_those_of(&["c1"], hold, &by)
}

#[test]
fn a_drain_that_takes_too_long_is_ended_at_both_ends() -> Result<()> {
    if !requirements::met("a_drain_that_takes_too_long_is_ended_at_both_ends", LAB) {
        return Ok(());
    }
    let top = "drain_timeout = \"2s\"\n".into();
    let setting = Setting::new(Lab::builder(), AgentOptions { top, ..AgentOptions::default() })?;
    let (hold, by) = silent(&setting)?;
    let told = setting.agent.xdplb(&["backend", "drain", "c1", "--wait=1m"])?;
    assert!(told.ends_with("c1 holds no flow\n"), "who waits learns that it is over: {told}");
    setting.wait_log(&format!("c1: {} flows are reset", by["c1"]))?;
    only_those_of(&["c1"], hold, &by)
}

#[test]
fn drain_waits_for_the_last_flow_or_gives_up() -> Result<()> {
    if !requirements::met("drain_waits_for_the_last_flow_or_gives_up", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, _) = setting.hold(MANY)?;
    let reply = setting.agent.try_xdplb(&["backend", "drain", "c1", "--wait=1s"])?;
    assert_eq!(reply.status.code(), Some(1), "flows are held: {reply:?}");
    let sentence = "xdplb: c1 still holds flows after 1s: wait longer, or end them with `xdplb flows reset --backend c1`";
    assert_eq!(reply.stderr.trim(), sentence, "it says what to do");

    // Somebody waits while the connections end.
    let mut waiting = setting.agent.command()?;
    waiting.args(["backend", "drain", "c1", "--wait=2m"]).stdout(std::process::Stdio::piped());
    let waiting = waiting.spawn()?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "draining broke none: {report:?}");
    let waited = waiting.wait_with_output()?;
    let told = answer(&lb_tests::Reply::from(&waited), 0);
    assert!(told.ends_with("c1 holds no flow\n"), "the last has ended: {told}");
    let told = setting.agent.xdplb(&["backend", "drain", "c1", "--wait=20s"])?;
    assert!(told.starts_with("c1 is draining already\n"), "it was so already: {told}");
    Ok(())
}

#[test]
fn flows_are_filtered_and_reset_by_backend_client_and_snat() -> Result<()> {
    if !requirements::met("flows_are_filtered_and_reset_by_backend_client_and_snat", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, by) = setting.hold(MANY)?;
    assert_eq!(flows(&setting, &[])?.len() as u64, MANY, "all are listed");
    for (backend, count) in &by {
        let listed = flows(&setting, &["--backend", backend])?;
        assert_eq!(listed.len() as u64, *count, "those of {backend}");
        assert!(listed.iter().all(|flow| flow["backend"] == backend.as_str()), "and no others: {listed:?}");
    }
    assert_eq!(flows(&setting, &["--client", "10.77.0.100"])?.len() as u64, MANY, "one client has all");
    assert_eq!(flows(&setting, &["--client", "10.77.0.99"])?.len(), 0, "another has none");
    assert_eq!(setting.agent.xdplb(&["flows", "--client", "10.77.0.99"])?, "no flows\n", "said so");
    let told = setting.agent.xdplb(&["flows", "reset", "--client", "10.77.0.99"])?;
    assert_eq!(told, "no flow matches\n", "nothing to reset is no failure");

    // One connection, as the audit log of a controller names it.
    let one = flows(&setting, &["--backend", "c3"])?.swap_remove(0);
    let snat = one["snat"].as_str().unwrap_or_else(|| panic!("an address: {one}"));
    assert_eq!(flows(&setting, &["--snat", snat, "--backend", "c3"])?.len(), 1, "{snat} is one connection");
    let told = setting.agent.xdplb(&["flows", "--snat", snat, "reset", "--backend", "c3"])?;
    assert_eq!(told, "1 flow is reset\n", "one");
    assert_eq!(hold.wait_broken(1, PATIENCE)?[0].backend, "c3", "it was c3's");
    setting.agent.xdplb(&["flows", "reset"])?;
    let broken = hold.wait_broken(usize::try_from(MANY)?, PATIENCE)?;
    assert_eq!(broken.len() as u64, MANY, "without a filter, all");
    refusal(&setting.agent.try_xdplb(&["flows", "reset", "--backend", "nobody"])?);
    Ok(())
}
