//! What a controller says of itself: that it is not ready, or that it may not tell.

use anyhow::{Result, ensure};
use lb_tests::{
    AgentOptions, Family, Hold, HoldOptions, Lab, Load, LoadOptions, Server, ServerOptions,
    report::LoadReport,
    requirements::{self, Need},
};

use crate::setting::{API, MANY, Setting};

const NEEDS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("curl")];

/// Has a controller answer `/readyz` with another status from now on.
fn say(setting: &Setting, controller: &str, number: u8, status: u16) -> Result<()> {
    let address = setting.lab.plan().controller(Family::V4, number);
    let url = format!("https://{address}:{API}/set-readyz?status={status}");
    let told = setting.lab.exec_in(controller, "curl", &["--silent", "--insecure", "--fail", &url])?;
    ensure!(told.status.success(), "{controller} cannot be told to say {status}: {told:?}");
    Ok(())
}

#[test]
fn a_controller_that_is_not_ready_gets_nothing_new_and_keeps_what_it_has() -> Result<()> {
    let name = "a_controller_that_is_not_ready_gets_nothing_new_and_keeps_what_it_has";
    if !requirements::met(name, NEEDS) {
        return Ok(());
    }
    // Given long-lived connections to every controller and a steady load,
    let setting = Setting::usual()?;
    let target = setting.lab.service(API);
    let hold = Hold::start(&setting.lab, &HoldOptions::to(target, MANY))?;
    assert!(hold.backends()?.contains_key("c2"), "some of many connections go to c2");
    let load = Load::start(&setting.lab, &LoadOptions::to(target).rate(50))?;
    load.wait_for_more(30)?;

    // when one says that it is not ready, as it does before it closes, it gets nothing new,
    say(&setting, "c2", 2, 503)?;
    setting.agent.wait_health("c2", "not-ready")?;
    // A connection that was begun before may be told after.
    let noticed = load.wait_for_more(20)?;
    let later = load.wait_for_more(100)?;
    assert_eq!(later.by("c2"), noticed.by("c2"), "nothing new goes to who is not ready");

    // and when it is ready again, it does,
    say(&setting, "c2", 2, 200)?;
    setting.agent.wait_health("c2", "up")?;
    load.wait_until("connections to c2 again", |report| report.by("c2") > later.by("c2") + 5)?;

    // and none of all this has cost a connection.
    let report = load.stop()?;
    assert_eq!(report.failed_from(0), 0, "no new connection failed: {report:?}");
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "no old connection broke: {report:?}");
    Ok(())
}

/// A controller goes as kube-apiserver does with `--shutdown-delay-duration`: `/readyz` says 500, and it serves on.
#[test]
fn a_rolling_restart_fails_no_request() -> Result<()> {
    if !requirements::met("a_rolling_restart_fails_no_request", NEEDS) {
        return Ok(());
    }
    // Given controllers that serve on for ten seconds, and a steady load,
    let going = ServerOptions { arguments: vec!["--drain-ms=10000".into()] };
    let mut setting = Setting::with_servers(Lab::builder(), &going, AgentOptions::default())?;
    let load = LoadOptions::to(setting.lab.service(API)).rate(50).requests(3);
    let load = Load::start(&setting.lab, &load)?;
    load.wait_for_more(30)?;

    // when one after another is restarted,
    for controller in setting.lab.controllers() {
        let mut server = setting.take_server(&controller)?;
        server.terminate();
        setting.agent.wait_health(&controller, "not-ready")?;
        server.wait_end()?;
        let gone = load.by_now()?;
        setting.servers.push(Server::start_with(&setting.lab, &controller, &going)?);
        setting.agent.wait_health(&controller, "up")?;
        let back = |report: &LoadReport| report.by(&controller) > gone.by(&controller) + 5;
        load.wait_until("connections to it again", back)?;
    }

    // no request fails.
    let report = load.stop()?;
    println!(
        "rolling restart: {} of {} connections with three requests each failed, {} were sent on",
        report.failed(),
        report.attempts,
        setting.counter("redispatched")?
    );
    assert_eq!(report.failed(), 0, "no request fails: {report:?}");
    assert_eq!(setting.counter("redispatched")?, 0, "nobody was drained too late");
    Ok(())
}

#[test]
fn a_controller_that_may_not_tell_is_in_use() -> Result<()> {
    if !requirements::met("a_controller_that_may_not_tell_is_in_use", NEEDS) {
        return Ok(());
    }
    // As every k0s controller does without a credential.
    let setting = Setting::usual()?;
    for (controller, number) in setting.lab.controllers().iter().zip(1..) {
        say(&setting, controller, number, 401)?;
    }
    let status = setting.agent.wait_until_all("opaque")?;
    assert_eq!(status["fail_open"].as_array().map(Vec::len), Some(0), "opaque is in use: {status:#}");
    assert_eq!(status["warnings"].as_array().map(Vec::len), Some(0), "and no reason to warn: {status:#}");
    let load = Load::start(&setting.lab, &LoadOptions::to(setting.lab.service(API)).rate(50))?;
    load.wait_until("every controller", |report| ["c1", "c2", "c3"].iter().all(|name| report.by(name) > 3))?;
    let report = load.stop()?;
    assert_eq!(report.failed_from(0), 0, "nobody is refused: {report:?}");
    Ok(())
}
