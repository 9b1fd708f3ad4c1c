//! A konnectivity agent dials one address until it holds a connection to every server: N dials must reach N.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    AgentOptions, Hold, HoldOptions, Lab,
    requirements::{self, LAB},
};

use crate::setting::{KONNECTIVITY, Setting};

/// As many dials as there are controllers, one after another and all held: each reaches another one.
fn each_dial_reaches_another(setting: &Setting, controllers: u8) -> Result<()> {
    let target = setting.lab.service(KONNECTIVITY);
    // More than once, as the turn must not depend on where the last agent left it.
    for round in 1..=3 {
        let options = HoldOptions { interval: Duration::ZERO, ..HoldOptions::to(target, controllers.into()) };
        let hold = Hold::start(&setting.lab, &options)?;
        let reached = hold.backends()?;
        println!("konnectivity, round {round}: {controllers} dials reached {} controllers", reached.len());
        assert_eq!(reached.len(), usize::from(controllers), "each dial reaches another: {reached:?}");
        let report = hold.stop()?;
        assert!(report.broken.is_empty() && report.failures.is_empty(), "all of them stand: {report:?}");
    }
    Ok(())
}

fn setting(controllers: u8) -> Result<Setting> {
    Setting::new(Lab::builder().controllers(controllers), AgentOptions::default())
}

#[test]
fn three_dials_reach_three_controllers_and_two_when_one_was_removed() -> Result<()> {
    let name = "three_dials_reach_three_controllers_and_two_when_one_was_removed";
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    let setting = setting(3)?;
    each_dial_reaches_another(&setting, 3)?;
    setting.agent.xdplb(&["backend", "remove", "c2"])?;
    each_dial_reaches_another(&setting, 2)
}

#[test]
fn five_dials_reach_five_controllers_and_four_when_one_died() -> Result<()> {
    if !requirements::met("five_dials_reach_five_controllers_and_four_when_one_died", LAB) {
        return Ok(());
    }
    let mut setting = setting(5)?;
    each_dial_reaches_another(&setting, 5)?;
    setting.kill_server("c3")?;
    setting.agent.wait_health("c3", "down")?;
    setting.agent.wait_status("c3 down for konnectivity", |status| {
        lb_tests::status::health(status, "c3", KONNECTIVITY) == Some("down")
    })?;
    each_dial_reaches_another(&setting, 4)
}
