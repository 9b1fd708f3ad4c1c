//! A konnectivity agent dials one address until it holds a connection to every server: N dials must reach N.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    AgentOptions, Hold, HoldOptions, Lab,
    requirements::{self, LAB},
};

use crate::setting::{KONNECTIVITY, Setting};

fn as_many_dials_as_controllers(name: &str, controllers: u8) -> Result<()> {
    if !requirements::met(name, LAB) {
        return Ok(());
    }
    let setting = Setting::new(Lab::builder().controllers(controllers), AgentOptions::default())?;
    let target = setting.lab.service(KONNECTIVITY);
    // Twice, as the turn must not depend on where the last agent left it.
    for _ in 0..2 {
        let options = HoldOptions { interval: Duration::ZERO, ..HoldOptions::to(target, controllers.into()) };
        let hold = Hold::start(&setting.lab, &options)?;
        let reached = hold.backends()?;
        assert_eq!(
            reached.len(),
            usize::from(controllers),
            "each dial reaches another controller: {reached:?}"
        );
        let report = hold.stop()?;
        assert!(report.broken.is_empty() && report.failures.is_empty(), "all of them stand: {report:?}");
    }
    Ok(())
}

#[test]
fn three_dials_reach_three_controllers() -> Result<()> {
    as_many_dials_as_controllers("three_dials_reach_three_controllers", 3)
}

#[test]
fn five_dials_reach_five_controllers() -> Result<()> {
    as_many_dials_as_controllers("five_dials_reach_five_controllers", 5)
}
