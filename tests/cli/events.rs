//! `xdplb events`: what changed, when and why, and the same lines in the log.

use std::fs;

use anyhow::Result;
use lb_tests::{
    Agent, AgentOptions, Family, Lab, PATIENCE, Process, Server, ServerOptions,
    requirements::{self, LAB},
};
use serde_json::Value;

use crate::setting::{Setting, answer, refusal};

/// Two services, of which the controllers of the lab serve the first.
const SERVICES: &str = "[[services]]\nname = \"api\"\nport = 6443\nprobe = \"tcp\"\n\n\
                        [[services]]\nname = \"join\"\nport = 9999\nprobe = \"tcp\"\n";

/// The kept events that please.
fn events(agent: &Agent, pleases: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    let all = agent.json(&["events"])?;
    let all = all.as_array().cloned().unwrap_or_else(|| panic!("events are an array: {all}"));
    Ok(all.into_iter().filter(|event| pleases(event)).collect())
}

/// Follows, one JSON object a line.
fn follow(setting: &Setting) -> Result<Process> {
    let mut command = setting.agent.command()?;
    command.args(["events", "--follow", "--json"]);
    Process::spawn("follow", command, setting.lab.directory())
}

/// What the log has to say of an event.
fn log_line(event: &Value) -> String {
    let message = event["message"].as_str().unwrap_or_default();
    event["why"].as_str().map_or_else(|| message.to_owned(), |why| format!("{message} ({why})"))
}

#[test]
fn what_changes_is_told_once_with_its_reason_and_stands_in_the_log() -> Result<()> {
    if !requirements::met("what_changes_is_told_once_with_its_reason_and_stands_in_the_log", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let following = follow(&setting)?;
    setting.servers.remove(1).kill()?;
    let line = following.wait_for_line("c2's end", PATIENCE, |line| {
        line.contains("\"kind\":\"health\"") && line.contains("kubernetes-api on c2: down, was up")
    })?;
    let event: Value = serde_json::from_str(&line)?;
    assert_eq!(event["level"], "warning", "{event:#}");
    assert_eq!(event["why"], "connection refused", "{event:#}");
    assert_eq!((&event["from"], &event["to"]), (&"up".into(), &"down".into()), "{event:#}");
    assert_eq!(event["family"], "ipv4", "{event:#}");

    setting.agent.xdplb(&["backend", "drain", "c1"])?;
    setting.agent.xdplb(&["backend", "weight", "c3", "7"])?;
    setting.agent.xdplb(&["backend", "weight", "c3", "7"])?;
    setting.agent.xdplb(&["backend", "add", "c9=10.77.0.19"])?;
    setting.agent.xdplb(&["reload"])?;
    following.wait_for_line("the reload", PATIENCE, |line| line.contains("read again"))?;
    for kind in ["admin", "weight", "backend-added", "configuration"] {
        let told = events(&setting.agent, |event| event["kind"] == kind)?;
        assert_eq!(told.len(), 1, "a change is one event, and what was so already none: {told:#?}");
    }
    let health = events(&setting.agent, |it| it["sequence"] == event["sequence"])?;
    assert_eq!(health, [event], "the kept one is the one that was followed");

    let all = events(&setting.agent, |_| true)?;
    let log = fs::read_to_string(setting.lab.directory().join("agent.log"))?;
    for (number, event) in (1..).zip(&all) {
        assert_eq!(event["sequence"], number, "they are counted: {event:#}");
        assert!(log.contains(&log_line(event)), "{} stands in the log: {log}", log_line(event));
    }
    let text = setting.agent.xdplb(&["events"])?;
    assert!(text.starts_with("time  "), "a heading: {text}");
    assert!(text.contains("  warning  kubernetes-api on c2: down, was up  "), "a table: {text}");
    Ok(())
}

#[test]
fn follow_ends_quietly_by_ctrl_c_and_with_a_sentence_when_the_agent_ends() -> Result<()> {
    if !requirements::met("follow_ends_quietly_by_ctrl_c_and_with_a_sentence_when_the_agent_ends", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    let mut following = follow(&setting)?;
    following.wait_for_line("the start", PATIENCE, |line| line.contains("the agent has started"))?;
    following.signal(libc::SIGINT);
    assert!(following.wait(PATIENCE)?.success(), "somebody has seen enough: {}", following.last_words());
    assert_eq!(following.last_words(), "", "and nothing is said");

    let mut following = follow(&setting)?;
    following.wait_for_line("the start", PATIENCE, |line| line.contains("the agent has started"))?;
    setting.agent.stop()?;
    following.wait_for_line("the end", PATIENCE, |line| line.contains("the agent ends"))?;
    assert_eq!(following.wait(PATIENCE)?.code(), Some(1), "nothing comes any more");
    assert_eq!(following.last_words(), "xdplb: the agent has ended, and its events with it");

    let sentence = refusal(&setting.agent.try_xdplb(&["events"])?);
    assert!(sentence.contains("start it with `xdplb run`"), "{sentence}");
    assert!(sentence.contains("the log"), "the log has them: {sentence}");
    Ok(())
}

/// Where nothing listens on 9443, as on a k0s that has its join API elsewhere, nobody is alarmed.
#[test]
fn what_never_answered_on_a_backend_that_lives_is_unused() -> Result<()> {
    if !requirements::met("what_never_answered_on_a_backend_that_lives_is_unused", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).build()?;
    let servers = vec![Server::start_with(&lab, "c1", &ServerOptions::default())?];
    let agent = Agent::start(&lab, AgentOptions { tables: SERVICES.into(), ..AgentOptions::default() })?;
    let mut setting = Setting { agent, servers, lab };
    let entry = |status: &Value, service: usize, backend: usize| {
        status["services"][service]["backends"][backend].clone()
    };
    let status = setting.agent.wait_status("c1's join unused, and c2 not there", |status| {
        entry(status, 1, 0)["unused"] == true
            && entry(status, 1, 1)["health"] == "down"
            && entry(status, 0, 1)["health"] == "down"
    })?;
    assert_eq!(entry(&status, 1, 0)["health"], "down", "the word of the contract stays: {status:#}");
    assert_eq!(entry(&status, 1, 1)["unused"], false, "c2 is not there at all: {status:#}");
    let text = setting.agent.xdplb(&["status"])?;
    assert!(text.starts_with("degraded: c2 is down\n"), "c1 is whole: {text}");
    assert!(text.contains("unused"), "{text}");

    let told = events(&setting.agent, |event| event["kind"] == "health" && event["backend"] == "c2")?;
    assert_eq!(told.len(), 1, "one for all its services: {told:#?}");
    assert_eq!((&told[0]["level"], &told[0]["service"]), (&"info".into(), &Value::Null), "{told:#?}");
    let alarms = events(&setting.agent, |event| {
        event["service"] == "join" || event["level"] == "warning" && event["kind"] != "host"
    })?;
    assert_eq!(alarms, Vec::<Value>::new(), "nobody is alarmed");

    // The next agent knows it too.
    setting.agent.kill9()?;
    setting.agent.start_again()?;
    setting.agent.wait_status("it remembers", |status| entry(status, 1, 0)["unused"] == true)?;

    // When it has answered once, it is a service like others.
    let ports = ServerOptions { arguments: vec!["--echo-ports".into(), "9999".into()] };
    setting.servers.remove(0).kill()?;
    let following = follow(&setting)?;
    following.wait_for_line("c1's end", PATIENCE, |line| line.contains("api on c1: down"))?;
    setting.servers.push(Server::start_with(&setting.lab, "c1", &ports)?);
    following
        .wait_for_line("its first answer", PATIENCE, |line| line.contains("join on c1: up, was down"))?;
    setting.servers.remove(0).kill()?;
    let line =
        following.wait_for_line("its loss", PATIENCE, |line| line.contains("join on c1: down, was up"))?;
    assert!(line.contains("\"warning\""), "that is worth a look: {line}");
    answer(&setting.agent.try_xdplb(&["events"])?, 0);
    Ok(())
}

/// A route that the balancer lacks says nothing of a controller; that it cannot be asked is said.
#[test]
fn a_controller_that_this_host_has_no_route_to_is_not_judged() -> Result<()> {
    if !requirements::met("a_controller_that_this_host_has_no_route_to_is_not_judged", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let following = follow(&setting)?;
    let c2 = setting.lab.plan().controller(Family::V4, 2);
    let route = |verb: &str| {
        setting.lab.exec_in("lb", "ip", &["route", verb, "unreachable", &format!("{c2}/32")]).map(drop)
    };
    route("add")?;
    let line = following.wait_for_line("that it cannot be asked", PATIENCE, |line| {
        line.contains("kubernetes-api on c2: cannot be probed")
    })?;
    let event: Value = serde_json::from_str(&line)?;
    assert_eq!((&event["kind"], &event["level"]), (&"host".into(), &"warning".into()), "{event:#}");
    assert_eq!(event["why"], "this host has no route to it; it is taken for what it was", "{event:#}");
    let status = setting.agent.status()?;
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("kubernetes-api on c2: cannot be probed"),
        "for as long as it lasts: {warnings}"
    );
    assert_eq!(lb_tests::status::health(&status, "c2", 6443), Some("up"), "{status:#}");

    route("del")?;
    following.wait_for_line("that it can be again", PATIENCE, |line| {
        line.contains("kubernetes-api on c2: can be probed again")
    })?;
    let downs = events(&setting.agent, |event| event["kind"] == "health" && event["to"] == "down")?;
    assert_eq!(downs, Vec::<Value>::new(), "nobody was down");
    let warnings = setting.agent.status()?["warnings"].to_string();
    assert!(!warnings.contains("kubernetes-api on c2"), "it is over: {warnings}");
    Ok(())
}
