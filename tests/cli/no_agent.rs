//! The agent was killed: what is known is told from the pinned maps, with exit status 3.

use anyhow::Result;
use lb_tests::{
    PATIENCE,
    requirements::{self, LAB},
    status,
};

use crate::setting::{MANY, Setting, answer, refusal};

#[test]
fn everything_that_shows_something_still_does() -> Result<()> {
    if !requirements::met("everything_that_shows_something_still_does", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, by) = setting.hold(MANY)?;
    let used = |status: &serde_json::Value| {
        ["flow_table", "half_open_table"].map(|table| status[table]["used"].as_u64().unwrap_or(u64::MAX))
    };
    let living =
        setting.agent.wait_status("a walk that has counted all", |status| used(status) == [MANY, 0])?;
    setting.agent.kill9()?;

    let text = answer(&setting.agent.try_xdplb(&["status"])?, 3);
    assert!(
        text.starts_with("unattended: packets are forwarded, but nobody probes"),
        "the answer first: {text}"
    );
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("agent: not running since 2")), "{text}");
    let status = setting.agent.status()?;
    assert_eq!(status["agent"]["running"], false, "no agent: {status:#}");
    assert_eq!(status["ready"], false, "nobody is ready: {status:#}");
    let since = |status: &serde_json::Value| status["agent"]["since"].as_str().map(str::to_owned);
    assert!(since(&status) >= since(&living), "since its last sign of life, not its start: {status:#}");
    assert_eq!(used(&status), [MANY, 0], "the tables are as full as they were: {status:#}");
    assert_eq!(status["flow_table"]["capacity"], living["flow_table"]["capacity"], "and as large");
    for (backend, count) in &by {
        let entry = status::backend(&status, backend).unwrap_or_else(|| panic!("{backend}: {status:#}"));
        assert_eq!(entry["flows"], *count, "{backend} holds what it held");
    }

    for words in [&["backend", "list"][..], &["flows"], &["counters"]] {
        let reply = setting.agent.try_xdplb(words)?;
        let text = answer(&reply, 3);
        assert!(text.lines().count() > 3, "{words:?} shows something: {text}");
        assert!(reply.stderr.starts_with("agent: not running since 2"), "{words:?} says so: {reply:?}");
    }
    assert_eq!(setting.agent.json(&["flows", "--backend", "c1"])?.as_array().map(Vec::len), {
        Some(usize::try_from(by["c1"])?)
    });
    assert!(setting.agent.json(&["counters"])?["forwarded"].as_u64() > Some(0), "figures of now");
    let told = answer(&setting.agent.try_xdplb(&["ready"])?, 3);
    assert!(told.starts_with("not ready: no agent runs; "), "nobody probes: {told}");

    // What needs an agent fails; a reset does not need one.
    for words in ["backend drain c1", "backend add c9=10.77.0.19", "backend remove c1", "reload", "events"] {
        let sentence = refusal(&setting.agent.try_xdplb(&words.split(' ').collect::<Vec<_>>())?);
        assert!(sentence.contains("start it with `xdplb run`"), "{words}: {sentence}");
    }
    let reply = setting.agent.try_xdplb(&["flows", "reset", "--backend", "nobody"])?;
    assert_eq!(reply.status.code(), Some(1), "nobody is unknown: {reply:?}");
    let told = answer(&setting.agent.try_xdplb(&["flows", "reset", "--backend", "c1"])?, 3);
    assert!(told.contains("reset"), "{told}");
    let broken = hold.wait_broken(usize::try_from(by["c1"])?, PATIENCE)?;
    assert!(broken.iter().all(|one| one.backend == "c1"), "and no others: {broken:?}");
    // It is the kernel that resets, by the program that the agent has left.
    std::fs::remove_file(setting.pins().join("collect"))?;
    let reply = setting.agent.try_xdplb(&["flows", "reset", "--backend", "c2"])?;
    assert_eq!(reply.status.code(), Some(1), "there is nothing to reset with: {reply:?}");
    assert!(reply.stderr.contains("no program to reset flows with: start one with"), "{reply:?}");

    setting.agent.start_again()?;
    setting.agent.xdplb(&["ready"])?;
    assert_eq!(hold.stop()?.broken.len() as u64, by["c1"], "the others went on");
    Ok(())
}
