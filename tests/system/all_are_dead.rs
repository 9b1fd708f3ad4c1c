//! All controllers are dead: whether new connections are refused or sent to the last good ones is the operator's choice.

use anyhow::Result;
use lb_tests::{
    AgentOptions, Lab, Load, LoadOptions,
    requirements::{self, LAB},
};
use serde_json::Value;

use crate::setting::{API, Setting};

/// Whether a list of the status names the Kubernetes API.
fn names_the_api(status: &Value, list: &str) -> bool {
    status[list].as_array().is_some_and(|names| names.iter().any(|name| name == "kubernetes-api"))
}

#[test]
fn without_fail_open_connections_are_refused_until_a_controller_is_back() -> Result<()> {
    if !requirements::met("without_fail_open_connections_are_refused_until_a_controller_is_back", LAB) {
        return Ok(());
    }
    // Given that the operator would rather have a refusal than silence,
    let options = AgentOptions { top: "fail_open = false\n".into(), ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder(), options)?;
    let refused = |setting: &Setting| -> Result<u64> {
        Ok(setting.agent.json(&["counters"])?["reset_no_backend"].as_u64().unwrap_or(0))
    };
    assert_eq!(refused(&setting)?, 0, "there were controllers all the time");

    // when every cable is pulled, the status says that the service refuses, and not that it fails open,
    for controller in setting.lab.controllers() {
        setting.lab.link_down(&controller)?;
    }
    setting.agent.wait_until_all("down")?;
    let status =
        setting.agent.wait_status("a refusing service", |status| names_the_api(status, "refusing"))?;
    assert!(!names_the_api(&status, "fail_open"), "it does not fail open: {status:#}");
    let words = setting.agent.xdplb(&["status"])?;
    assert!(words.starts_with("refusing: no enabled backend of "), "said first: {words}");

    // and clients are refused, which only the balancer can do, for nobody else hears them.
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(30))?;
    load.wait_until("refusals", |report| {
        report.failures.get("connect refused").is_some_and(|refusals| *refusals >= 30)
    })?;
    assert!(refused(&setting)? >= 30, "by the balancer");

    // When a controller is back, it serves, without anybody's help.
    setting.lab.link_up("c1")?;
    setting.agent.wait_health("c1", "up")?;
    let up = load.by_now()?;
    load.wait_for_more(60)?;
    let report = load.stop()?;
    assert_eq!(report.failed_from(up.begun), 0, "nobody is refused any more: {report:?}");
    let status = setting.agent.status()?;
    assert!(!names_the_api(&status, "refusing"), "nor does the status say so: {status:#}");
    Ok(())
}
