//! A controller comes back: it gets its share of new connections little by little.

use anyhow::Result;
use lb_tests::{
    AgentOptions, Lab, Load, LoadOptions, Server,
    requirements::{self, LAB},
};
use serde_json::Value;

use crate::setting::{API, KONNECTIVITY, Setting};

/// The percentage of its share that a controller has of a service, while it ramps up.
fn percent(status: &Value, controller: &str, port: u16) -> Option<u64> {
    let named = |list: &Value, key: &str, value: &Value| -> Option<Value> {
        list.as_array()?.iter().find(|entry| entry[key] == *value).cloned()
    };
    let service = named(&status["services"], "port", &port.into())?;
    named(&service["backends"], "name", &controller.into())?["slow_start_percent"].as_u64()
}

#[test]
fn a_controller_that_comes_back_ramps_up_and_spread_waits_for_nobody() -> Result<()> {
    if !requirements::met("a_controller_that_comes_back_ramps_up_and_spread_waits_for_nobody", LAB) {
        return Ok(());
    }
    // Given controllers that nobody has seen down, which therefore have their whole share,
    let options = AgentOptions { top: "slow_start = \"8s\"\n".into(), ..AgentOptions::default() };
    let mut setting = Setting::new(Lab::builder(), options)?;
    let status = setting.agent.status()?;
    let ramping = |status: &Value| ["c1", "c2", "c3"].map(|name| percent(status, name, API));
    assert_eq!(ramping(&status), [None; 3], "new ones do not ramp up: {status:#}");

    // when one dies and comes back, it has a part of its share, and the others theirs,
    setting.kill_server("c2")?;
    setting.agent.wait_health("c2", "down")?;
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(50))?;
    let before = load.wait_for_more(10)?.by("c2");
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    let status = setting.agent.wait_status("c2 ramping up", |status| percent(status, "c2", API).is_some())?;
    assert_eq!([percent(&status, "c1", API), percent(&status, "c3", API)], [None; 2], "{status:#}");
    assert_eq!(
        percent(&status, "c2", KONNECTIVITY),
        None,
        "a service that spreads does not wait: {status:#}"
    );

    // in which it is used from the beginning; and in the end it has the whole.
    load.wait_until("connections to c2", |report| report.by("c2") > before)?;
    setting.agent.wait_status("c2 with its whole share", |status| {
        ramping(status) == [None; 3] && lb_tests::status::health(status, "c2", API) == Some("up")
    })?;
    load.stop()?;
    Ok(())
}

#[test]
fn a_restart_of_the_agent_neither_ends_a_ramp_nor_begins_it_anew() -> Result<()> {
    if !requirements::met("a_restart_of_the_agent_neither_ends_a_ramp_nor_begins_it_anew", LAB) {
        return Ok(());
    }
    // Given a controller that has come back, and has more of its share already than at first,
    let options = AgentOptions { top: "slow_start = \"60s\"\n".into(), ..AgentOptions::default() };
    let mut setting = Setting::new(Lab::builder(), options)?;
    setting.kill_server("c2")?;
    setting.agent.wait_health("c2", "down")?;
    setting.servers.push(Server::start(&setting.lab, "c2")?);
    let status = setting.agent.wait_status("c2 beyond its first step", |status| {
        percent(status, "c2", API).is_some_and(|percent| percent > 10)
    })?;
    let before = percent(&status, "c2", API);

    // when the agent is killed and started again, it is as far as it was, and goes on.
    setting.agent.kill9()?;
    setting.agent.start_again()?;
    let after = percent(&setting.agent.status()?, "c2", API);
    assert!(after >= before, "it was at {before:?} and is at {after:?}, neither begun anew nor over");
    setting.agent.wait_status("c2 further", |status| percent(status, "c2", API) > after)?;
    Ok(())
}
