//! The scenes. Each returns what it measured; none says anything that it has not seen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lb_tests::{
    Fetch, Hold, HoldOptions, Server, moment,
    report::{LoadReport, median},
    status,
};

use crate::{
    screen::{Screen, line},
    stage::{API, Stage},
    summary::Fact,
};

/// Connections that a scene watches: enough for a share of each controller to show.
const SOME: u64 = 120;
/// Long connections while a controller dies, and during the drain.
const HELD: u64 = 30;

pub(crate) fn tell(stage: &mut Stage, screen: &mut Screen) -> Result<Vec<Fact>> {
    let ready = stage.ready_after.as_millis();
    let mut facts = vec![Fact::new(true, format!("the agent was ready {ready} ms after its start"))];
    facts.push(spread(stage, screen)?);
    facts.extend(controller_dies(stage, screen)?);
    facts.extend(drain(stage, screen)?);
    facts.extend(agent_dies(stage, screen)?);
    let report = stage.end_load()?;
    let connect = report.connect;
    facts.push(Fact::new(
        report.ok > 0 && report.failed() == stage.in_flight,
        format!(
            "in all {} of {} connections succeeded, {} failed besides those in flight; TCP connect p50 {} µs, p99 {} µs, \
             {} sent a SYN twice",
            report.ok,
            report.attempts,
            report.failed().saturating_sub(stage.in_flight),
            connect.p50_us,
            connect.p99_us,
            report.with_syns_again(1)
        ),
    ));
    for (kind, count) in &report.failures {
        facts.push(Fact::new(true, format!("of those that failed: {kind}, {count}")));
    }
    Ok(facts)
}

fn spread(stage: &mut Stage, screen: &mut Screen) -> Result<Fact> {
    stage.scene(screen, "connections are spread over three controllers")?;
    let seen = stage.watch_more(screen, 2 * SOME, "spread")?;
    let shares: Vec<String> =
        stage.lab.controllers().iter().map(|name| format!("{name} {}", seen.by(name))).collect();
    let good = stage.lab.controllers().iter().all(|name| seen.by(name) > 0) && seen.failed() == 0;
    Ok(Fact::new(good, format!("spread: {}, {} failed", shares.join(", "), seen.failed())))
}

fn controller_dies(stage: &mut Stage, screen: &mut Screen) -> Result<Vec<Fact>> {
    stage.scene(screen, &format!("controller c2 is killed, while {HELD} long connections go on"))?;
    let options = HoldOptions { reconnect: true, ..HoldOptions::to(stage.lab.service(API), HELD) };
    let hold = Hold::start(&stage.lab, &options)?;
    let on_c2 = hold.backends()?.get("c2").copied().unwrap_or(0);
    let before = stage.seen()?;
    let victim = stage.servers.iter().position(|server| server.node() == "c2");
    stage.servers.remove(victim.context("c2 has no server")?).kill()?;
    let (killed_us, begun) = (moment::now_us(), Instant::now());
    stage.watch(screen, "the probe has noticed", |stage, _| {
        Ok(status::health(&stage.agent.status()?, "c2", API) == Some("down"))
    })?;
    let noticed = begun.elapsed();
    let dead = stage.watch_more(screen, SOME, "c2 is down, the others carry on")?;
    let after = dead.failed_since(killed_us) as u64;
    // What c2 had accepted and not answered dies with it, whoever stands before it.
    stage.in_flight = dead.failed() - before.failed() - after;
    let sent_on = stage.agent.json(&["counters"])?["redispatched"].as_u64().unwrap_or(0);
    let mut facts = vec![Fact::new(
        after == 0,
        format!(
            "c2 killed: {after} of {} connections failed that began after it, {} of those in flight; {sent_on} were \
             refused and sent on to another; the probe noticed after {}",
            dead.begun - before.begun,
            stage.in_flight,
            seconds(noticed)
        ),
    )];
    facts.push(made_anew(hold, on_c2, killed_us)?);
    facts.push(comes_back(stage, screen, &dead)?);
    Ok(facts)
}

/// What became of the long connections of c2.
fn made_anew(hold: Hold, on_c2: u64, killed_us: u64) -> Result<Fact> {
    let reconnected = hold.wait_reconnected(on_c2 as usize)?;
    let after: Vec<u64> = reconnected.iter().map(|one| one.at_us.saturating_sub(killed_us)).collect();
    let report = hold.stop()?;
    let strangers = report.broken.iter().filter(|broken| broken.backend != "c2").count();
    Ok(Fact::new(
        strangers == 0 && report.alive == report.opened,
        format!(
            "its {on_c2} long connections were made anew {} ms after it at the median; {strangers} of the others broke",
            median(after).unwrap_or(0) / 1000
        ),
    ))
}

fn comes_back(stage: &mut Stage, screen: &mut Screen, dead: &LoadReport) -> Result<Fact> {
    stage.scene(screen, "c2 comes back")?;
    stage.servers.push(Server::start(&stage.lab, "c2")?);
    let begun = Instant::now();
    let back =
        stage.watch(screen, "c2 gets connections again", |_, seen| Ok(seen.by("c2") > dead.by("c2") + 5))?;
    let returned = begun.elapsed();
    Ok(Fact::new(
        back.failed() == dead.failed(),
        format!("c2 back: it got connections again after {}", seconds(returned)),
    ))
}

fn drain(stage: &mut Stage, screen: &mut Screen) -> Result<Vec<Fact>> {
    stage.scene(screen, &format!("c3 is drained, while {HELD} long connections go on"))?;
    let hold = Hold::start(&stage.lab, &HoldOptions::to(stage.lab.service(API), HELD))?;
    let on_c3 = hold.backends()?.get("c3").copied().unwrap_or(0);
    stage.agent.xdplb(&["backend", "drain", "c3"])?;
    // What was under way when the command came is answered first.
    let begun = stage.watch_more(screen, 10, "c3 is draining")?;
    let drained = stage.watch_more(screen, SOME, "c3 gets nothing new")?;
    let new_on_c3 = drained.by("c3") - begun.by("c3");
    stage.agent.xdplb(&["backend", "enable", "c3"])?;
    stage.watch(screen, "c3 is enabled again", |_, seen| Ok(seen.by("c3") > drained.by("c3") + 5))?;
    let report = hold.stop()?;
    let (requests, broken) = (report.requests, report.broken.len());
    Ok(vec![
        Fact::new(
            new_on_c3 == 0,
            format!("c3 drained: {new_on_c3} of {} new connections went there", drained.ok - begun.ok),
        ),
        Fact::new(
            broken == 0,
            format!("{broken} of {HELD} long connections broke ({on_c3} of them on c3; {requests} requests)"),
        ),
    ])
}

fn agent_dies(stage: &mut Stage, screen: &mut Screen) -> Result<Vec<Fact>> {
    stage.scene(screen, "the agent is killed with SIGKILL while a long download goes on")?;
    let download = Fetch::start(&stage.lab, stage.lab.service(API), "/stream?seconds=8")?;
    let from = download.started()?;
    let before = stage.seen()?;
    stage.agent.kill9()?;
    let without = stage.watch_more(screen, SOME, "no agent runs")?;
    let begun = Instant::now();
    stage.agent.start_again()?;
    let restarted = begun.elapsed();
    line(&format!("   a new agent took over after {} ms", restarted.as_millis()));
    let after = stage.watch(screen, "the download is over", |_, _| Ok(download.is_over()))?;
    let report = download.finish()?;
    let whole = if report.ok { "unharmed" } else { report.why.as_str() };
    Ok(vec![
        Fact::new(
            without.failed() == before.failed(),
            format!(
                "agent killed: {} connections succeeded while none ran, {} failed",
                without.ok - before.ok,
                without.failed() - before.failed()
            ),
        ),
        Fact::new(
            after.failed() == without.failed(),
            format!("a new agent was ready {} ms after its start", restarted.as_millis()),
        ),
        Fact::new(
            report.ok,
            format!(
                "the download from {from}: {} of {} bytes, {whole}; longest pause {} ms",
                report.bytes, report.expected, report.longest_gap_ms
            ),
        ),
    ])
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
