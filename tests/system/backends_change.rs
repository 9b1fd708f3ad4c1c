//! Controllers are drained, removed and added while everybody goes on working.

use std::fs;

use anyhow::Result;
use lb_tests::{
    AgentOptions, Family, Hold, HoldOptions, Lab, Load, LoadOptions,
    requirements::{self, LAB},
    status,
};

use crate::setting::{API, MANY, Setting};

#[test]
fn drain_and_enable_cost_no_connection() -> Result<()> {
    if !requirements::met("drain_and_enable_cost_no_connection", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    assert!(hold.backends()?.contains_key("c2"), "some of many connections go to c2");
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(100))?;
    load.wait_for_more(30)?;

    // When c2 is drained it gets no new connection,
    setting.agent.xdplb(&["backend", "drain", "c2"])?;
    assert_eq!(status::admin(&setting.agent.status()?, "c2"), Some("draining"));
    // (those that were under way are answered first)
    let before = load.wait_for_more(30)?.by("c2");
    let after = load.wait_for_more(100)?.by("c2");
    assert_eq!(after, before, "a drained controller gets nothing new");

    // and when it is enabled it gets its share again.
    setting.agent.xdplb(&["backend", "enable", "c2"])?;
    load.wait_until("connections to c2 again", |report| report.by("c2") > after + 10)?;
    let (report, old) = (load.stop()?, hold.stop()?);
    println!(
        "drain and enable: {} new connections, {} failed; {} of {} old ones live on",
        report.attempts,
        report.failed(),
        old.alive,
        old.opened
    );
    assert_eq!(report.failed(), 0, "no new connection failed: {report:?}");
    assert_eq!(old.alive, MANY, "no old connection broke: {old:?}");
    Ok(())
}

#[test]
fn add_and_remove_cost_no_connection() -> Result<()> {
    if !requirements::met("add_and_remove_cost_no_connection", LAB) {
        return Ok(());
    }
    // Given three controllers of which the balancer knows two,
    let options = AgentOptions { backends: Some(vec!["c1".into(), "c2".into()]), ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder(), options)?;
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(100))?;
    assert_eq!(load.wait_for_more(60)?.by("c3"), 0, "nobody has told the balancer of c3");

    // when the third is added it gets connections and is in the file,
    let third = format!("c3={}", setting.lab.plan().controller(Family::V4, 3));
    setting.agent.xdplb(&["backend", "add", &third])?;
    load.wait_until("connections to c3", |report| report.by("c3") > 10)?;
    let file = fs::read_to_string(setting.agent.config_file())?;
    assert!(file.contains("c3"), "the file knows it: {file}");

    // and when the first is removed it gets none, and nothing is lost.
    setting.agent.xdplb(&["backend", "remove", "c1"])?;
    let before = load.wait_for_more(30)?.by("c1");
    let after = load.wait_for_more(100)?.by("c1");
    assert_eq!(after, before, "a removed controller gets nothing");
    let report = load.stop()?;
    println!(
        "add and remove: {} connections, {} failed, {:?}",
        report.attempts,
        report.failed(),
        report.backends
    );
    assert_eq!(report.failed(), 0, "no connection failed: {report:?}");
    let file = fs::read_to_string(setting.agent.config_file())?;
    assert!(!file.contains("\"c1\""), "the file has forgotten it: {file}");
    Ok(())
}

#[test]
fn what_is_already_true_is_no_failure() -> Result<()> {
    if !requirements::met("what_is_already_true_is_no_failure", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    for _ in 0..2 {
        setting.agent.xdplb(&["backend", "drain", "c1"])?;
    }
    let reply = setting.agent.try_xdplb(&["backend", "drain", "c9"])?;
    assert_eq!(reply.status.code(), Some(1), "nobody has heard of c9: {reply:?}");
    assert_eq!(reply.stderr.lines().count(), 1, "that is said in one line: {}", reply.stderr);
    Ok(())
}
