//! What a controller says of itself: that it is not ready, or that it may not tell.

use anyhow::{Result, ensure};
use lb_tests::{
    ASKING, AgentOptions, Family, Hold, HoldOptions, Lab, Load, LoadOptions, Server, ServerOptions,
    UnderLoad, WATCHING,
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
    // Given controllers that serve on for ten seconds, hundreds of connections, and hundreds more each second,
    let going = ServerOptions { arguments: vec!["--drain-ms=10000".into()] };
    let mut setting = Setting::with_servers(Lab::builder(), &going, AgentOptions::default())?;
    let clients = UnderLoad::start_with(&setting, |load| load.requests(3))?;

    // when one after another is restarted,
    let mut after_the_first = None;
    for controller in setting.lab.controllers() {
        let mut server = setting.take_server(&controller)?;
        server.terminate();
        setting.agent.wait_health(&controller, "not-ready")?;
        server.wait_end()?;
        let gone = clients.load.by_now()?;
        after_the_first.get_or_insert((gone.failed(), gone.attempts));
        setting.servers.push(Server::start_with(&setting.lab, &controller, &going)?);
        setting.agent.wait_health(&controller, "up")?;
        let back = |report: &LoadReport| report.by(&controller) > gone.by(&controller) + 5;
        clients.load.wait_until("connections to it again", back)?;
    }

    // no request fails, and no long-lived connection but in the order in which its server asks it to go.
    let seen = clients.stop()?;
    let (failed, attempts) = after_the_first.unwrap_or_default();
    let ended = seen.broken().filter(|one| one.why == "ended").count();
    println!(
        "one drained: {failed} of {attempts} new connections with three requests each failed; rolling restart: {}; {} were \
         sent on; {ended} of {} long-lived connections that ended did so in order",
        seen.of_new_ones(0),
        setting.counter("redispatched")?,
        seen.broken().count()
    );
    assert_eq!(seen.load.failed(), 0, "no request fails: {:?}", seen.load);
    assert_eq!(setting.counter("redispatched")?, 0, "nobody was drained too late");
    assert_eq!(ended, seen.broken().count(), "none is broken off: {:?}", seen.broken().collect::<Vec<_>>());
    assert_eq!((seen.tries_failed_since(0), seen.alive()), (0, ASKING + WATCHING), "all stand at the end");
    Ok(())
}

#[test]
fn a_controller_that_may_not_tell_is_in_use() -> Result<()> {
    if !requirements::met("a_controller_that_may_not_tell_is_in_use", NEEDS) {
        return Ok(());
    }
    // As every k0s controller does without a credential.
    let setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;
    for (controller, number) in setting.lab.controllers().iter().zip(1..) {
        say(&setting, controller, number, 401)?;
    }
    let status = setting.agent.wait_until_all("opaque")?;
    assert_eq!(status["fail_open"].as_array().map(Vec::len), Some(0), "opaque is in use: {status:#}");
    assert_eq!(status["warnings"].as_array().map(Vec::len), Some(0), "and no reason to warn: {status:#}");
    let opaque = clients.load.by_now()?;
    let every =
        |report: &LoadReport| ["c1", "c2", "c3"].iter().all(|name| report.by(name) > opaque.by(name) + 3);
    clients.load.wait_until("every controller", every)?;
    let moved = clients.moved(&setting, "nobody")?;
    let seen = clients.stop()?;
    println!("401 from all: {}; {moved} long-lived connections moved", seen.of_new_ones(0));
    assert_eq!(seen.load.failed(), 0, "nobody is refused: {:?}", seen.load);
    assert_eq!((moved, seen.broken().count()), (0, 0), "and none breaks");
    assert_eq!(seen.alive(), ASKING + WATCHING, "all answer to the end");
    Ok(())
}
