//! What an agent that starts again must know of the one before it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_tests::{
    AgentOptions, Hold, HoldOptions, Lab, PATIENCE, Server,
    report::Counts,
    requirements::{self, LAB},
};
use lb_userspace::kernel::{Tables, document, remains::Remains};

use crate::setting::{API, MANY, Setting, answer, has_program, refusal};

/// Connections that say nothing until they are asked at the end.
fn silent(setting: &Setting) -> Result<(Hold, Counts)> {
    let hold = Hold::start(&setting.lab, &HoldOptions::at_once(setting.lab.service(API), MANY, 20_000))?;
    let backends = hold.backends()?;
    Ok((hold, backends))
}

fn pinned(setting: &Setting) -> Result<BTreeSet<OsString>> {
    fs::read_dir(setting.pins())?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Waits until the pinned maps please.
fn wait_tables(setting: &Setting, what: &str, pleases: impl Fn(&Tables) -> Result<bool>) -> Result<()> {
    let tables = Tables::open(&setting.pins())?;
    let deadline = Instant::now() + PATIENCE;
    while !pleases(&tables)? {
        if Instant::now() > deadline {
            bail!("the tables did not come to {what}");
        }
        // A map tells nobody that it has changed.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits for a whole walk over the flow tables, begun after this call.
fn wait_for_a_walk(setting: &Setting) -> Result<()> {
    fn collected(tables: &Tables) -> Result<u64> {
        Ok(tables.heartbeat.get(&0, 0)?.collected_ns)
    }
    for _ in 0..2 {
        let before = collected(&Tables::open(&setting.pins())?)?;
        wait_tables(setting, "the end of a walk", |tables| Ok(collected(tables)? != before))?;
    }
    Ok(())
}

#[test]
fn without_the_ids_nothing_is_taken_over_and_nothing_lost() -> Result<()> {
    if !requirements::met("without_the_ids_nothing_is_taken_over_and_nothing_lost", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, _) = setting.hold(MANY)?;
    setting.agent.kill9()?;
    let before = pinned(&setting)?;
    let ids = setting.pins().join("ids");

    let spoilt = [
        ("no JSON", "expected"),
        (r#"{"ids": "of a later version"}"#, "invalid type"),
        (r#"[{"id": 4096, "name": "c1", "addresses": [], "tombstone": false}]"#, "not in 1..4096"),
    ];
    for (text, reason) in spoilt {
        document::store(&ids, text.as_bytes())?;
        let sentence = refusal(&setting.run_to_its_end(&[])?);
        assert!(sentence.contains("/ids cannot be read (") && sentence.contains(reason), "why: {sentence}");
        assert!(sentence.contains("--discard-flows") && sentence.contains("`xdplb detach`"), "{sentence}");
        assert_eq!(pinned(&setting)?, before, "nothing is lost");
    }
    answer(&setting.agent.try_xdplb(&["status"])?, 3);
    fs::remove_file(&ids)?;
    let sentence = refusal(&setting.run_to_its_end(&[])?);
    assert!(sentence.contains("/ids is missing") && sentence.contains("--discard-flows"), "why: {sentence}");
    assert!(has_program(&setting.lab, "xlb0")?, "what is there goes on");
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");

    setting.run(&["--discard-flows"])?.stop(PATIENCE)?;
    assert_eq!(pinned(&setting)?, before, "a new beginning has all that the old one had");
    Ok(())
}

#[test]
fn a_status_that_nobody_can_read_costs_no_flow() -> Result<()> {
    if !requirements::met("a_status_that_nobody_can_read_costs_no_flow", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, _) = setting.hold(MANY)?;
    setting.agent.kill9()?;
    document::store(&setting.pins().join("status"), br#"{"version": 2}"#)?;
    // An agent that numbered the backends anew would give c1's number to c3.
    let swapped =
        [("c1", "c-"), ("0.11", "0.-"), ("c3", "c1"), ("0.13", "0.11"), ("c-", "c3"), ("0.-", "0.13")];
    let file = swapped.iter().fold(setting.file()?, |file, (from, to)| file.replace(from, to));
    fs::write(setting.agent.config_file(), file)?;
    setting.agent.start_again()?;
    setting.wait_log("/status cannot be read (")?;
    setting.agent.wait_until_all("up")?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");
    Ok(())
}

#[test]
fn what_a_killed_agent_left_half_done_is_in_nobodys_way() -> Result<()> {
    if !requirements::met("what_a_killed_agent_left_half_done_is_in_nobodys_way", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.kill9()?;
    let before = pinned(&setting)?;
    document::store(&setting.pins().join("ids-new"), b"half an agent's work")?;
    setting.agent.start_again()?;
    assert_eq!(pinned(&setting)?, before, "it has been replaced");
    setting.agent.kill9()?;
    document::store(&setting.pins().join("status-new"), b"half an agent's work")?;
    setting.agent.xdplb(&["detach"])?;
    assert!(!setting.pins().exists(), "it is ours, and goes with the rest");
    Ok(())
}

#[test]
fn a_removal_with_now_is_carried_out_by_the_next_agent() -> Result<()> {
    if !requirements::met("a_removal_with_now_is_carried_out_by_the_next_agent", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, by) = silent(&setting)?;
    // Nobody speaks, so nobody is told of it before the agent is gone.
    setting.agent.xdplb(&["backend", "remove", "c1", "--now"])?;
    setting.agent.kill9()?;
    setting.agent.start_again()?;
    let report = hold.stop()?;
    assert_eq!(report.broken.len() as u64, by["c1"], "each of c1's is told: {report:?}");
    assert!(report.broken.iter().all(|one| one.backend == "c1"), "and no others: {report:?}");
    Ok(())
}

#[test]
fn a_controller_that_is_silent_at_the_restart_keeps_its_next_hop() -> Result<()> {
    if !requirements::met("a_controller_that_is_silent_at_the_restart_keeps_its_next_hop", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let before = Remains::read(&setting.pins())?.backends;
    assert!(before.iter().all(|backend| backend.mac != [0; 6]), "all are known: {before:?}");
    setting.lab.link_down("c2")?;
    setting.agent.kill9()?;
    setting.lab.exec_in("lb", "ip", &["neigh", "del", "10.77.0.12", "dev", "xlb0"])?;
    setting.agent.start_again()?;
    assert_eq!(Remains::read(&setting.pins())?.backends, before, "nobody has told of another next hop");
    Ok(())
}

/// Replaces the VIP, which the connections hold as SNAT address too, and has the agent take that up.
fn another_vip(name: &str, take_up: impl Fn(&mut Setting) -> Result<()>) -> Result<()> {
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    let soon = "[timeouts]\nclosed = \"1s\"\ntime_wait = \"1s\"\n";
    let mut setting =
        Setting::new(Lab::builder(), AgentOptions { tables: soon.into(), ..AgentOptions::default() })?;
    let (hold, _) = setting.hold(MANY)?;
    let file = setting.file()?.replace("vips = [\"10.77.0.10\"]", "vips = [\"10.77.0.2\"]");
    fs::write(setting.agent.config_file(), file)?;
    take_up(&mut setting)?;

    wait_for_a_walk(&setting)?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");
    // When the last connection is forgotten, so is the address.
    let new = Ipv4Addr::new(10, 77, 0, 2).into();
    wait_tables(&setting, "the new address alone", |tables| {
        Ok(tables.v4.our_addresses.keys().collect::<Result<Vec<_>, _>>()? == [new])
    })
}

#[test]
fn a_reload_takes_no_address_from_flows_that_hold_it() -> Result<()> {
    another_vip("a_reload_takes_no_address_from_flows_that_hold_it", |setting| {
        setting.agent.xdplb(&["reload"])?;
        Ok(())
    })
}

#[test]
fn nor_does_a_restart() -> Result<()> {
    another_vip("nor_does_a_restart", |setting| {
        setting.agent.kill9()?;
        setting.agent.start_again()
    })
}

#[test]
fn the_health_of_the_backends_outlives_the_agent() -> Result<()> {
    if !requirements::met("the_health_of_the_backends_outlives_the_agent", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let c2 = setting.servers.remove(1);
    assert_eq!(c2.node(), "c2");
    c2.kill()?;
    setting.agent.wait_health("c2", "down")?;
    setting.agent.kill9()?;
    let log = setting.wait_log("kubernetes-api on c2: down, was up")?;
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    setting.agent.start_again()?;
    let status = setting.agent.wait_health("c2", "up")?;
    let since = status["services"][0]["backends"][0]["since"].as_str();
    assert!(since < status["agent"]["since"].as_str(), "c1 is up since before the restart: {status:#}");
    let log = setting.wait_log("kubernetes-api on c2: up, was down")?.split_off(log.len());
    assert!(!log.contains("was unverified"), "nobody begins anew: {log}");
    Ok(())
}
