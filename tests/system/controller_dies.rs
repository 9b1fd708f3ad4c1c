//! A controller is gone by one family only, or all of them are gone.

use anyhow::Result;
use lb_tests::{
    ASKING, AgentOptions, Families, Lab, Load, LoadOptions, Server, UnderLoad, WATCHING, moment,
    report::LoadReport,
    requirements::{self, LAB},
    status,
};

use crate::setting::{API, Setting};

#[test]
fn a_controller_that_loses_one_family_serves_by_the_other() -> Result<()> {
    if !requirements::met("a_controller_that_loses_one_family_serves_by_the_other", LAB) {
        return Ok(());
    }
    // Given controllers and clients with both families,
    let options = AgentOptions { families: Families::Both, ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder(), options)?;
    let (v4, v6) = (setting.lab.service(API), setting.lab.service_v6(API));
    let by_v4 = Load::start(&setting.lab, &LoadOptions::to(v4).rate(30))?;
    let by_v6 = Load::start(&setting.lab, &LoadOptions::to(v6).rate(30).argument("--timeout-ms", "5000"))?;
    by_v4.wait_for_more(20)?;
    by_v6.wait_for_more(20)?;

    // when one loses its IPv6 address, it is down on the IPv6 VIP alone,
    setting.lab.exec_in("c2", "ip", &["addr", "del", "fd77::c/64", "dev", "xlb0"])?;
    let lost = moment::now_us();
    let status = setting
        .agent
        .wait_status("c2 down by IPv6", |status| status::health_on(status, "c2", v6) == Some("down"))?;
    assert_eq!(status::health_on(&status, "c2", v4), Some("up"), "it answers by IPv4: {status:#}");

    // so clients by IPv6 find another, and those by IPv4 find it as before.
    by_v6.wait_for_more(60)?;
    let before = by_v4.by_now()?.by("c2");
    by_v4.wait_until("connections to c2 by IPv4", |report| report.by("c2") > before + 5)?;
    let report = by_v6.stop()?;
    assert_eq!(report.failed_since(lost), 0, "no connection by IPv6 fails that began after: {report:?}");
    assert_eq!(by_v4.stop()?.failed(), 0, "IPv4 noticed nothing");
    Ok(())
}

#[test]
fn when_all_are_dead_the_status_says_so_and_the_first_to_return_serves() -> Result<()> {
    if !requirements::met("when_all_are_dead_the_status_says_so_and_the_first_to_return_serves", LAB) {
        return Ok(());
    }
    // Given hundreds of connections, and hundreds more each second,
    let mut setting = Setting::usual()?;
    let clients = UnderLoad::start(&setting)?;

    // when every process dies, the last good ones keep the traffic,
    for controller in setting.lab.controllers() {
        setting.kill_server(&controller)?;
    }
    let dead = moment::now_us();
    let status = setting.agent.wait_until_all("down")?;
    let open: Vec<&str> =
        status["fail_open"].as_array().into_iter().flatten().filter_map(|s| s.as_str()).collect();
    assert!(open.contains(&"kubernetes-api"), "the status says that it fails open: {open:?}");

    // and when the first is back, nobody is refused any more: who is offered to a dead one is sent on.
    setting.servers.push(Server::start(&setting.lab, "c1")?);
    let first = moment::now_us();
    setting.agent.wait_health("c1", "up")?;

    // When the others are back too, all is as before, by itself.
    for controller in ["c2", "c3"] {
        setting.servers.push(Server::start(&setting.lab, controller)?);
    }
    let status = setting.agent.wait_until_all("up")?;
    assert_eq!(status["fail_open"].as_array().map(Vec::len), Some(0), "nothing fails open: {status:#}");
    let up = clients.load.by_now()?;
    let each = |report: &LoadReport| ["c1", "c2", "c3"].iter().all(|name| report.by(name) > up.by(name) + 5);
    clients.load.wait_until("every controller", each)?;
    let seen = clients.stop()?;
    let refused = seen.load.failed_since(dead) - seen.load.failed_since(first);
    println!(
        "all dead, then one after another back: {}; {refused} while none lived, for {} ms; {} of {} long-lived connections \
         stand again",
        seen.of_new_ones(first),
        (first - dead) / 1000,
        seen.alive(),
        ASKING + WATCHING
    );
    assert_eq!(seen.load.failed_since(first), 0, "no connection fails while one lives: {:?}", seen.load);
    assert_eq!(
        seen.alive(),
        ASKING + WATCHING,
        "all stand again: {:?} {:?}",
        seen.asking.failures,
        seen.watching.failures
    );
    Ok(())
}
